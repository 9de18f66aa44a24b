/* SPDX-License-Identifier: MIT
 *
 * Where the store is.
 */
#ifndef SIDECAR_CONFIG_STATE_FOLDER_H
#define SIDECAR_CONFIG_STATE_FOLDER_H

#include "sidecar/config/types.h"

#define STATE_FOLDER_DEFAULT "/var/lib/tollgate"
#define STATE_FOLDER_NONE    "none" /* in the configuration: nothing is kept */

/* The folder that the configuration names, else the one that systemd gives (StateDirectory), else
 * STATE_FOLDER_DEFAULT; NULL: no store is wanted. Returns text. */
const char *state_folder(const struct config *config, char *text, size_t size);

#endif
