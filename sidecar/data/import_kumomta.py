# SPDX-License-Identifier: MIT
"""tollgate import kumomta FILE: KumoMTA's shaping.toml as a configuration of tollgate.

Limits of "default", domains and providers become limits and destinations; automation becomes rules with
the thresholds that the peer documents ("3/hr" is three in an hour, whatever the duration). The YAML goes
to standard output; what could not be taken over, and what was dead in the file already, goes to standard
error, a line each. Run by the C program, which has it compiled in; needs Python 3.11.
"""
import re
import sys
import tomllib

UNITS = {"s": "s", "sec": "s", "second": "s", "m": "min", "min": "min", "minute": "min", "h": "hr", "hr": "hr",
         "hour": "hr", "d": "day", "day": "day"}
SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600,
           "d": 86400, "day": 86400, "w": 604800, "week": 604800}
THROTTLE = re.compile(r"(local:)?([\d,_]+)/(\d*)([a-z]+?)s?(?:,max_burst=([\d,_]+))?", re.I)

# Of an egress path: what is taken over; all else is the MTA's own business (timeouts, TLS, ports).
RATES = {"max_message_rate": "rate", "max_connection_rate": "connection_rate"}
COUNTS = {"connection_limit": "connections", "provider_connection_limit": "connections",
          "max_deliveries_per_connection": "messages_per_connection"}
STRUCTURE = {"automation", "sources", "match", "mx_rollup", "replace_base", "_treat_domain_name_as_mx_list"}
RULE_CONFIG = {"max_message_rate": "rate", "connection_limit": "connections", "provider_connection_limit": "connections",
               "max_deliveries_per_connection": "per_connection"}


class Report:
    def __init__(self, name):
        self.name, self.dead, self.left = name, 0, 0

    def say(self, kind, where, text):
        self.dead += kind == "dead"
        self.left += kind == "not taken over"
        print(f"{self.name}: {where}: {kind}: {text}", file=sys.stderr)


class Bad(Exception):
    pass


def number(text):
    return int(str(text).replace(",", "").replace("_", ""))


def throttle(text):
    """(count, "5min", burst or None, local) of "[local:]LIMIT/[N]UNIT[,max_burst=B]"."""
    found = THROTTLE.fullmatch(str(text).replace(" ", ""))
    unit = found and (UNITS.get(found[4].lower()) or UNITS.get(found[4].lower() + "s"))
    if not found or not unit or number(found[2]) <= 0:
        raise Bad(f'"{text}" is no throttle')
    many = int(found[3] or 1)
    if many == 0:
        raise Bad(f'"{text}" has no period')
    period = unit if many == 1 else f"{many}{unit}"
    return number(found[2]), period, number(found[5]) if found[5] else None, bool(found[1])


def duration(text):
    """Seconds of "90m", "2 hours", "1h 30m"."""
    rest, total = str(text).strip(), 0.0
    while rest:
        found = re.match(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", rest, re.I)
        unit = found and found[2].lower()
        scale = found and (SECONDS.get(unit) or SECONDS.get(unit[:-1] if unit.endswith("s") else unit))
        if not scale:
            raise Bad(f'"{text}" is no duration')
        total += float(found[1]) * scale
        rest = rest[found.end():]
    if total < 1:
        raise Bad(f'"{text}" is no duration of a second or more')
    return round(total)


def duration_text(seconds):
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
    return " ".join(parts)


def quote(text):
    return "'" + str(text).replace("'", "''") + "'"


def plain(text):
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")[:200] or "unnamed"


def unique(base, taken):
    name = base
    for i in range(2, len(taken) + 3):
        if name.lower() not in taken:
            break
        name = f"{base}-{i}"
    taken.add(name.lower())
    return name


def name_of(text, taken, where, report):
    """A name of ours for a section of theirs, which may have any characters in it."""
    name = unique(plain(text), taken)
    if name != text:
        report.say("note", where, f"it is called {name} here")
    return name


# ---- limits --------------------------------------------------------------------------------------------

def limits_of(section, where, report):
    """The keys of a `limits` mapping, in the order in which they are written."""
    out = {}
    for key, value in section.items():
        try:
            if key in RATES:
                count, period, burst, local = throttle(value)
                out[RATES[key]] = f'"{count:,}/{period}"' if count >= 1000 else f"{count}/{period}"
                if burst:
                    out["burst" if key == "max_message_rate" else "connection_burst"] = burst
                if local:
                    report.say("note", where, f'{key}: "local:" is dropped, every limit is of this machine')
            elif key in COUNTS:
                count = number(value.get("limit") if isinstance(value, dict) else str(value).removeprefix("local:"))
                out[COUNTS[key]] = min(count, out.get(COUNTS[key], count))
                if key == "provider_connection_limit":
                    report.say("note", where, f"{key}: the peer means all sources together; here it holds for each")
            elif key.startswith("additional_") or key.endswith("_rate") or key.endswith("_limits"):
                report.say("not taken over", where, f"{key}: there is no such limit here")
            elif key not in STRUCTURE:
                report.say("ignored", where, f"{key} is the MTA's own business")
        except (Bad, ValueError, TypeError) as why:
            report.say("not taken over", where, f"{key}: {why}")
    return out


def limits_text(limits, indent):
    return "".join(f"{indent}{key}: {value}\n" for key, value in limits.items())


# ---- rules ---------------------------------------------------------------------------------------------

def expression_dead(text):
    """Why a regular expression can never match "451 4.7.650 text", or None."""
    if re.search(r"\\\\[dDwWsSbB.\[\](){}+*?|^$-]", text):
        return "it is escaped twice and asks for a backslash"
    if re.match(r"(\(\?i\))?\^[A-Za-z]", text) and "|" not in text:
        return "it is tied to the start by ^, where the code stands"
    try:
        re.compile(re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", text))
    except re.error as why:
        return f"it is no regular expression ({why})"
    return None


def trigger_of(rule):
    trigger = rule.get("trigger", "Immediate")
    if trigger == "Immediate":
        return "immediate"
    if isinstance(trigger, dict) and "Threshold" in trigger:
        count, period, _, _ = throttle(trigger["Threshold"])
        return f"{count}/{period}"
    raise Bad(f"trigger {trigger!r} is unknown")


def actions_of(rule, where, report):
    """The keys of an `action` mapping."""
    listed = rule.get("action", [])
    seconds = duration(rule["duration"]) if "duration" in rule else None
    out = {}
    for action in listed if isinstance(listed, list) else [listed]:
        name, what = (action, None) if isinstance(action, str) else next(iter(action.items()))
        if name == "Suspend":
            if seconds is None:
                raise Bad("Suspend without a duration")
            out["hold"] = duration_text(seconds)
        elif name in ("SetConfig", "SetDomainConfig") and RULE_CONFIG.get(what.get("name")) == "rate":
            count, period, _, _ = throttle(what["value"])
            out["rate"] = f"{count}/{period}"
        elif name in ("SetConfig", "SetDomainConfig") and what.get("name") in RULE_CONFIG:
            out[RULE_CONFIG[what["name"]]] = number(what["value"])
        elif name in ("SetConfig", "SetDomainConfig"):
            report.say("not taken over", where, f"{name} {what.get('name')}: no rule sets that here")
        else:
            report.say("not taken over", where, f"{name}: the gate holds flows, not tenants, campaigns or messages")
    if seconds is not None and out and out.keys() != {"hold"}:
        out["for"] = duration_text(seconds)
    return out


def rule_text(rule, name, destination, where, report):
    """A rule as YAML, or None if it is dead or does nothing here."""
    if rule.get("match_internal"):
        report.say("not taken over", where, "match_internal: texts of the MTA itself are no replies")
        return None
    listed = rule.get("regex", [])
    alive = []
    for text in listed if isinstance(listed, list) else [listed]:
        why = expression_dead(text)
        if text.startswith("KumoMTA internal"):
            why = "it matches a text of the MTA itself, which is no reply"
        if why:
            report.say("dead", where, f"{text!r}: {why}")
        else:
            alive.append(text)
    if not alive:
        report.say("dead", where, "no expression of it can match")
        return None
    try:
        trigger, actions = trigger_of(rule), actions_of(rule, where, report)
    except (Bad, KeyError, TypeError, ValueError, AttributeError) as why:
        report.say("not taken over", where, str(why))
        return None
    if not actions:
        report.say("not taken over", where, "nothing is left of its actions")
        return None
    out = f"  - name: {name}\n    match:\n      text:\n" + "".join(f"        - {quote(text)}\n" for text in alive)
    if destination:
        out += f"      destination: [{quote(destination)}]\n"
    out += f"    trigger: {trigger}\n    action: {{{', '.join(f'{k}: {v}' for k, v in actions.items())}}}\n"
    return out


def rules_of(section, prefix, destination, where, report, dead_section, taken):
    out = []
    for i, rule in enumerate(section.get("automation", []), 1):
        place = f"{where}, automation {i}"
        if dead_section:
            report.say("dead", place, dead_section)
            continue
        # A rule's name has at most 64 characters.
        text = rule_text(rule, unique(f"kumomta-{prefix[:44]}-{i}", taken), destination, place, report)
        if text:
            out.append(text)
    return out


# ---- sections ------------------------------------------------------------------------------------------

def provider_names(provider, where, report):
    """The lists of a destination: (mx, domains)."""
    mx, domains = [], []
    for match in provider.get("match", []):
        for kind, value in match.items():
            if value.endswith("."):
                report.say("dead", where, f'{kind} "{value}" ends in a dot, which the peer never matches; taken over without it')
                value = value.rstrip(".")
            if kind == "MXSuffix":
                mx.append(value)
            elif kind == "HostName":
                mx.append(value)
            elif kind == "DomainSuffix":
                report.say("note", where, f'DomainSuffix "{value}": domains are named one by one here; "{value.lstrip(".")}" is taken')
                domains.append(value.lstrip("."))
            else:
                report.say("not taken over", where, f"match {kind}")
    return mx, domains


def destination_text(name, mx, domains, limits):
    out = f"  - name: {quote(name)}\n"
    if mx:
        out += f"    mx: [{', '.join(map(quote, mx))}]\n"
    if domains:
        out += f"    domains: [{', '.join(map(quote, domains))}]\n"
    if limits:
        out += "    limits:\n" + limits_text(limits, "      ")
    return out


def sources_report(section, where, report):
    for source, values in section.get("sources", {}).items():
        report.say("not taken over", where, f'sources."{source}" ({", ".join(values)}): a source is an address here; '
                   "write an override for it")


def convert(data, report):
    destinations, rules, default, taken, rules_taken = [], [], {}, {"default"}, set()
    for domain, section in data.items():
        if domain == "provider":
            continue
        where = f'["{domain}"]'
        name = domain if domain == "default" else name_of(domain, taken, where, report)
        sources_report(section, where, report)
        limits = limits_of(section, where, report)
        if name == "default":
            default = limits
        else:
            if section.get("mx_rollup", True):
                report.say("note", where, "the peer means all domains with the MX of this one; here it is this domain")
            destinations.append(destination_text(name, [], [domain], limits))
        rules += rules_of(section, name, None if name == "default" else name, where, report, None, rules_taken)
    for title, section in data.get("provider", {}).items():
        where = f'provider "{title}"'
        name = name_of(title, taken, where, report)
        mx, domains = provider_names(section, where, report)
        sources_report(section, where, report)
        limits = limits_of(section, where, report)
        dead = None if mx or domains else "the provider has no match list, so nothing belongs to it"
        if dead:
            report.say("dead", where, dead)
        else:
            destinations.append(destination_text(name, mx, domains, limits))
        rules += rules_of(section, name, name, where, report, dead, rules_taken)
    return default, destinations, rules


def main():
    if len(sys.argv) != 2:
        print("usage: tollgate import kumomta FILE", file=sys.stderr)
        return 2
    report = Report(sys.argv[1])
    try:
        with open(sys.argv[1], "rb") as source:
            data = tomllib.load(source)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        print(f"{sys.argv[1]}: {getattr(why, 'strerror', None) or why}", file=sys.stderr)
        return 1
    bad = [name for name, section in data.items() if not isinstance(section, dict)]
    if bad:
        print(f"{sys.argv[1]}: {', '.join(bad)}: not a section of shaping.toml", file=sys.stderr)
        return 1
    default, destinations, rules = convert(data, report)
    print(f"# Made by tollgate import kumomta from {plain(sys.argv[1])}.")
    if default:
        print("limits:\n" + limits_text(default, "  "), end="")
    if destinations:
        print("\ndestinations:\n" + "\n".join(destinations), end="")
    if rules:
        print("\nrules:\n" + "\n".join(rules), end="")
    print(f"{report.name}: {len(destinations)} destinations, {len(rules)} rules; {report.dead} dead, "
          f"{report.left} not taken over", file=sys.stderr)
    return 0


sys.exit(main())
