/* SPDX-License-Identifier: MIT
 *
 * The section `http`: where the HTTP door is, and who may come in.
 */
#include <string.h>

#include "sidecar/base/crypto.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"
#include "sidecar/serve/endpoint.h"

#define TOKEN_MIN 16

static void check_listen(const struct config_loader *loader, const struct config_http *http,
			 uint32_t index)
{
	struct yaml_mark mark = config_mark(loader, "http.listen[%u]", index);
	const char *text = http->listen[index];
	struct endpoint endpoint;

	if (endpoint_read(text, &endpoint) != 0)
		config_error(
			loader, mark,
			"'%.100s': must be unix: and an absolute path, or an address and a port, "
			"such as 127.0.0.1:8008 or [::1]:8008",
			text);
	else if (!endpoint.loopback && http->token == NULL && http->sendgrid_key == NULL)
		config_error(
			loader, mark,
			"'%.100s': other hosts reach it, so a token or SendGrid's key is needed",
			text);
	for (uint32_t i = 0; i < index; i++)
		if (strcmp(http->listen[i], text) == 0)
			config_error(loader, mark, "'%.100s': stands above already", text);
}

/* One that can be guessed is none; and it stands in a line of a header or in a URL. */
static void check_token(const struct config_loader *loader, const char *token)
{
	struct yaml_mark mark = config_mark(loader, "http.token");

	if (strlen(token) < TOKEN_MIN)
		config_error(loader, mark, "a token has %u characters at least", TOKEN_MIN);
	if (token[strspn(token,
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")] !=
	    '\0')
		config_error(loader, mark, "a token is made of letters, digits and - . _ ~");
}

static void check_key(const struct config_loader *loader, const char *text)
{
	struct crypto_key *key = NULL;

	if (crypto_key_read(text, &key) != 0)
		config_error(
			loader, config_mark(loader, "http.sendgrid_key"),
			"not a public key as SendGrid shows it: base64 of a key on the curve P-256");
	crypto_key_free(key);
}

void config_read_http(const struct config_loader *loader)
{
	struct config_http *http = &loader->config->http;

	if (http->token)
		check_token(loader, http->token);
	if (http->sendgrid_key)
		check_key(loader, http->sendgrid_key);
	for (uint32_t i = 0; i < http->listen_count; i++)
		check_listen(loader, http, i);
	config_read_log_names(loader, &http->names, "http");
}
