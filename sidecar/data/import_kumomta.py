# SPDX-License-Identifier: MIT
"""tollgate import kumomta FILE...: KumoMTA's shaping.toml as a configuration of tollgate.

Limits of "default", domains and providers become limits and destinations; automation becomes rules with
the thresholds that the peer documents ("3/hr" is three in an hour, whatever the duration). Several files
are merged in their order, as the peer merges them: keys of a later one win, matches and automation are
added, replace_base drops what stood before. The YAML goes to standard output once `check` accepts it;
what could not be taken over, what was dead in the files already, and what comes out differently goes to
standard error, a line each. Run by the C program, which has it compiled in and names itself as the first
argument; needs Python 3.11.
"""
import ipaddress
import json
import os
import re
import subprocess
import sys
import tomllib

UNITS = {"s": "s", "sec": "s", "second": "s", "m": "min", "min": "min", "minute": "min", "h": "hr", "hr": "hr",
         "hour": "hr", "d": "day", "day": "day"}
SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600,
           "d": 86400, "day": 86400, "w": 604800, "week": 604800}
THROTTLE = re.compile(r"(local:)?([\d,_]+)/(\d*)([a-z]+?)s?(?:,max_burst=([\d,_]+))?", re.I)

# Of an egress path: what is taken over; all else is the MTA's own business (timeouts, TLS, ports).
RATES = {"max_message_rate": "rate", "provider_max_message_rate": "rate", "max_connection_rate": "connection_rate"}
CAPS = {"source_selection_rate", "provider_source_selection_rate"}
COUNTS = {"connection_limit": "connections", "provider_connection_limit": "connections",
          "max_deliveries_per_connection": "messages_per_connection"}
STRUCTURE = {"automation", "sources", "match", "mx_rollup", "replace_base", "_treat_domain_name_as_mx_list", "_file"}
RULE_CONFIG = {"max_message_rate": "rate", "provider_max_message_rate": "rate", "additional_message_rate_throttles": "rate",
               "connection_limit": "connections", "provider_connection_limit": "connections",
               "additional_connection_limits": "connections", "max_deliveries_per_connection": "per_connection"}
# Tables of which the peer merges the entries; all other values of a later file take an earlier one's place.
MERGED = {"additional_connection_limits", "additional_message_rate_throttles", "additional_source_selection_rates"}

# What receivers say to what they take, and to what they do not.
TAKEN = ("250 OK ids=1aB2cD-000-Ef", "250 2.0.0 OK 1763692895 d75a77b69052e - gsmtp", "250 2.6.0 <a@b> Queued mail for delivery",
         "250 ok dirdel", "250 2.0.0 Ok: queued as 4qPWc9wHbG", "250 OK id=1vqAZ0-00000055GwT-eJEl", "250 2.1.5 accepted")
REFUSED = ("421 4.7.0 try again later", "451 4.7.650 temporarily rate limited", "450 4.2.0 x", "550 5.7.1 x", "554 x")


class Report:
    def __init__(self, names):
        self.names = names
        self.file = names[0]  # that is spoken of
        self.dead = self.left = 0

    def say(self, kind, where, text):
        self.dead += kind == "dead"
        self.left += kind == "not taken over"
        print(f"{self.file}: {where}: {kind}: {text}", file=sys.stderr)


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


# ---- files ---------------------------------------------------------------------------------------------

def read(path):
    """The sections of a file, each with the name of it; JSON is read as well, as the peer does."""
    with open(path, "rb") as source:
        text = source.read().decode()
    if path.endswith(".json"):
        data = json.loads(text)
    else:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            if path.endswith(".toml"):
                raise
            data = json.loads(text)
    if not isinstance(data, dict):
        raise Bad("not a shaping file")
    bad = [name for name, section in data.items() if not isinstance(section, dict)]
    providers = data.get("provider", {})
    bad += [f'provider "{name}"' for name, section in providers.items() if not isinstance(section, dict)]
    if bad:
        raise Bad(f"{', '.join(bad)}: not a section of shaping.toml")
    for name, section in [*data.items(), *providers.items()]:
        if section is not providers:
            shape(name, section)
            section["_file"] = path
            section["automation"] = [{**rule, "_file": path, "_index": i}
                                     for i, rule in enumerate(section.get("automation", []), 1)]
    return data


def shape(name, section):
    """The parts of a section are what they must be, or the peer would not read the file either."""
    for key, kind in (("automation", list), ("match", list), ("sources", dict)):
        if not isinstance(section.get(key, kind()), kind):
            raise Bad(f'"{name}": {key} has the wrong shape')
    for part in [*section.get("automation", []), *section.get("match", []), *section.get("sources", {}).values()]:
        if not isinstance(part, dict):
            raise Bad(f'"{name}": {part!r} has the wrong shape')


def table_merge(base, later):
    for key, value in later.items():
        if key in MERGED and isinstance(base.get(key), dict) and isinstance(value, dict):
            base[key] = {**base[key], **value}
        else:
            base[key] = value


def section_merge(base, later, report, where):
    """As the peer lays a later file's section over an earlier one's."""
    report.file = later["_file"]
    rate = base.get("provider_max_message_rate")
    if "provider_max_message_rate" in later and later["provider_max_message_rate"] != rate:
        report.say("dead", where, "provider_max_message_rate: the peer keeps what the first file with this provider says")
    later = {key: value for key, value in later.items() if key != "provider_max_message_rate"}
    if later.get("replace_base"):
        report.say("note", where, "replace_base: what earlier files say of it is dropped")
        base.clear()
        base.update(later)
    else:
        lists = {key: base.get(key, []) + later.get(key, []) for key in ("automation", "match")}
        sources = base.get("sources", {})
        for name, values in later.get("sources", {}).items():
            table_merge(sources.setdefault(name, {}), values)
        table_merge(base, {key: value for key, value in later.items() if key != "sources"})
        base.update(lists, sources=sources)
    if rate is not None:
        base["provider_max_message_rate"] = rate


def merge(files, report):
    """All files as one."""
    data, providers = {}, {}
    for file in files:
        for name, section in file.items():
            if name == "provider":
                continue
            if name in data:
                section_merge(data[name], section, report, f'["{name}"]')
            else:
                data[name] = section
        for name, section in file.get("provider", {}).items():
            if name in providers:
                section_merge(providers[name], section, report, f'provider "{name}"')
            else:
                providers[name] = section
    return data, providers


# ---- limits --------------------------------------------------------------------------------------------

def period_seconds(period):
    found = re.fullmatch(r"(\d*)([a-z]+)", period)
    return int(found[1] or 1) * SECONDS[found[2]]


def rate_text(count, period):
    return f'"{count:,}/{period}"' if count >= 1000 else f"{count}/{period}"


class Limits:
    """Of a section: every value that it has for a limit, of which the lowest counts."""

    def __init__(self):
        self.rates, self.counts = {}, {}  # key: (a second, count, period, burst); key: count

    def rate(self, key, count, period, burst):
        found = (count / period_seconds(period), count, period, burst)
        self.rates[key] = min(self.rates.get(key, found), found, key=lambda rate: rate[0])

    def count(self, key, count):
        if count < 1:
            raise Bad(f"{count} is no limit")
        self.counts[key] = min(self.counts.get(key, count), count)

    def keys(self):
        """In the order in which they are written."""
        out = {}
        for key, (_, count, period, burst) in self.rates.items():
            out[key] = rate_text(count, period)
            if burst:
                out["burst" if key == "rate" else "connection_burst"] = burst
        return {**out, **self.counts}


def rate_take(limits, key, value, where, report):
    count, period, burst, local = throttle(value)
    limits.rate(RATES[key], count, period, burst)
    if local:
        report.say("note", where, f'{key}: "local:" is dropped, every limit is of this machine')
    if not burst and count > 1:
        ours = "burst" if RATES[key] == "rate" else "connection_burst"
        report.say("note", where, f"{key}: without max_burst the peer lets all {count:,} go at once; here they leave one by one, "
                   f"evenly, unless you write `{ours}`")


def cap_take(limits, key, value, where, report):
    """How often a source may be chosen: of a day or an hour a cap, else a rate."""
    count, period, burst, _ = throttle(value)
    found = re.fullmatch(r"(\d*)(day|hr)", period)
    if not found or count < int(found[1] or 1):
        limits.rate("rate", count, period, burst)
        report.say("note", where, f"{key}: {value} is a rate here")
        return
    name = "day" if found[2] == "day" else "hour"
    limits.count(name, count // int(found[1] or 1))
    spread = f"spreads them over the {name}" if burst == 1 else "lets as many go at once as have come together"
    report.say("note", where, f"{key}: the peer {spread}; here it is a cap of the clock's {name}, and `rate` paces")


def limits_of(section, where, report):
    limits = Limits()
    for key, value in section.items():
        try:
            if key in RATES:
                rate_take(limits, key, value, where, report)
            elif key in CAPS:
                cap_take(limits, key, value, where, report)
            elif key in COUNTS:
                limits.count(COUNTS[key], number(value.get("limit") if isinstance(value, dict) else str(value).removeprefix("local:")))
            elif key.startswith("additional_"):
                report.say("not taken over", where, f"{key}: there is no limit here that flows share by a name")
            elif key.endswith("_rate") or key.endswith("_limits"):
                report.say("not taken over", where, f"{key}: there is no such limit here")
            elif key not in STRUCTURE:
                report.say("ignored", where, f"{key} is the MTA's own business")
        except (Bad, ValueError, TypeError) as why:
            report.say("not taken over", where, f"{key}: {why}")
    return limits.keys()


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


def delivered_only(text):
    """Whether an expression is about what receivers say when they take a message."""
    try:
        found = re.compile(re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", text))
    except re.error:
        return False
    return any(map(found.search, TAKEN)) and not any(map(found.search, REFUSED))


def trigger_of(rule):
    trigger = rule.get("trigger", "Immediate")
    if trigger == "Immediate":
        return "immediate"
    if isinstance(trigger, dict) and "Threshold" in trigger:
        count, period, _, _ = throttle(trigger["Threshold"])
        return f"{count}/{period}"
    raise Bad(f"trigger {trigger!r} is unknown")


def lowest(values):
    """Of a throttle, or of a table of them."""
    listed = [throttle(value) for value in (values.values() if isinstance(values, dict) else [values])]
    count, period, _, _ = min(listed, key=lambda rate: rate[0] / period_seconds(rate[1]))
    return rate_text(count, period)


def fewest(values):
    return min(number(str(value).removeprefix("local:")) for value in (values.values() if isinstance(values, dict) else [values]))


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
            out["rate"] = lowest(what["value"])
        elif name in ("SetConfig", "SetDomainConfig") and what.get("name") in RULE_CONFIG:
            out[RULE_CONFIG[what["name"]]] = fewest(what["value"])
        elif name in ("SetConfig", "SetDomainConfig"):
            report.say("not taken over", where, f"{name} {what.get('name')}: no rule sets that here")
        else:
            report.say("not taken over", where, f"{name}: the gate holds flows, not tenants, campaigns or messages")
    if seconds is not None and out and out.keys() != {"hold"}:
        out["for"] = duration_text(seconds)
    return out


def alive_of(rule, where, report):
    """Its expressions that can match here."""
    listed = rule.get("regex", [])
    alive = []
    for text in listed if isinstance(listed, list) else [listed]:
        why = "it is no text" if not isinstance(text, str) else expression_dead(text)
        if not why and text.startswith("KumoMTA internal"):
            why = "it matches a text of the MTA itself, which is no reply"
        if why:
            report.say("dead", where, f"{text!r}: {why}")
        elif delivered_only(text):
            report.say("not taken over", where, f"{text!r}: it matches what is said of a delivery, and rules here look at refusals")
        else:
            alive.append(text)
    return alive


def rule_text(rule, name, destinations, where, report):
    """A rule as YAML, or None if it is dead or does nothing here."""
    if rule.get("match_internal"):
        report.say("not taken over", where, "match_internal: texts of the MTA itself are no replies")
        return None
    alive = alive_of(rule, where, report)
    if not alive:
        report.say("not taken over", where, "no expression of it is left")
        return None
    try:
        trigger, actions = trigger_of(rule), actions_of(rule, where, report)
    except (Bad, KeyError, TypeError, ValueError, AttributeError, StopIteration) as why:
        report.say("not taken over", where, str(why) or "it has the wrong shape")
        return None
    if not actions:
        report.say("not taken over", where, "nothing is left of its actions")
        return None
    out = f"  - name: {name}\n    match:\n      text:\n" + "".join(f"        - {quote(text)}\n" for text in alive)
    if destinations:
        out += f"      destination: [{', '.join(map(quote, destinations))}]\n"
    out += f"    trigger: {trigger}\n    action: {{{', '.join(f'{k}: {v}' for k, v in actions.items())}}}\n"
    return out


def rules_of(section, prefix, destinations, where, report, dead_section, taken):
    out = []
    for rule in section.get("automation", []):
        report.file, i = rule["_file"], rule["_index"]
        place = f"{where}, automation {i}"
        if dead_section:
            report.say("dead", place, dead_section)
            continue
        # A rule's name has at most 64 characters.
        text = rule_text(rule, unique(f"kumomta-{prefix[:44]}-{i}", taken), destinations, place, report)
        if text:
            out.append(Block("rules", place, report.file, text))
    return out


# ---- sections ------------------------------------------------------------------------------------------

class Block:
    """A piece of the result, and what it came from."""

    def __init__(self, section, where, file, text):
        self.section, self.where, self.file, self.text = section, where, file, text


class Destination:
    def __init__(self, name, where, file, mx, domains, limits):
        self.name, self.where, self.file, self.limits = name, where, file, limits
        self.mx, self.domains = mx, domains
        self.overrides = []  # (source, limits)
        self.also = []  # domains with a section of their own, of which its rules hold too

    def blocks(self):
        text = f"  - name: {quote(self.name)}\n"
        for key, names in (("mx", self.mx), ("domains", self.domains)):
            if names:
                text += f"    {key}: [{', '.join(map(quote, names))}]\n"
        if self.limits:
            text += "    limits:\n" + limits_text(self.limits, "      ")
        yield Block("destinations", self.where, self.file, text)
        for source, limits in self.overrides:
            text = f"  - source: {quote(source)}\n    destination: {quote(self.name)}\n    limits:\n" + limits_text(limits, "      ")
            yield Block("overrides", f'{self.where}, sources."{source}"', self.file, text)


def name_mended(kind, value, where, report):
    """The peer compares letter by letter with a name in lower case that has no dot at its end."""
    mended = value.rstrip(".").lower()
    if value.endswith("."):
        report.say("dead", where, f'{kind} "{value}" ends in a dot, which the peer never matches; taken over without it')
    elif mended != value:
        report.say("dead", where, f'{kind} "{value}" has capitals, which the peer never matches; taken over in small letters')
    return mended


def provider_names(provider, where, report):
    """The lists of a destination: (mx, domains)."""
    mx, domains = [], []
    for kind, value in [pair for match in provider.get("match", []) for pair in match.items()]:
        if kind not in ("MXSuffix", "HostName", "DomainSuffix") or not isinstance(value, str):
            report.say("not taken over", where, f"match {kind}")
            continue
        value = name_mended(kind, value, where, report)
        if kind == "DomainSuffix":
            report.say("note", where, f'DomainSuffix "{value}": domains are named one by one here; "{value.lstrip(".")}" is taken')
            value = value.lstrip(".")
        elif kind == "HostName":
            report.say("note", where, f'HostName "{value}": what ends in .{value} belongs to it as well here')
        elif not value.startswith("."):
            report.say("note", where, f'MXSuffix "{value}": the peer takes any name that ends so; here whole labels are compared')
        listed = domains if kind == "DomainSuffix" else mx
        if value and value not in listed:
            listed.append(value)
    return mx, domains


def sources_take(section, destination, where, report, addresses):
    for source, values in section.get("sources", {}).items():
        address = addresses.get(source, source)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            address = None
        place = f'{where}, sources."{source}"'
        if not destination:
            report.say("not taken over", place, f"({', '.join(values)}): it is of every destination; write overrides for it")
        elif not address:
            report.say("not taken over", place, f"({', '.join(values)}): a source is an address here; say which by --source {source}=ADDRESS")
        else:
            limits = limits_of(values, place, report)
            if limits:
                destination.overrides.append((address, limits))


class Result:
    def __init__(self, report, addresses):
        self.report, self.addresses = report, addresses
        self.destinations, self.rules, self.default = [], [], None
        self.taken, self.rules_taken = {"default"}, set()
        self.owners = {}  # of a name: ("mx" or "domain", text) -> Destination

    def own(self, destination):
        """What belongs to an earlier one already is taken off, and said. Returns the one that has all of it, or None."""
        names = [("mx", name.lstrip(".")) for name in destination.mx] + [("domain", name) for name in destination.domains]
        owners = {self.owners[name].name: self.owners[name] for name in names if name in self.owners}
        if len(owners) == 1 and all(name in self.owners for name in names):
            return next(iter(owners.values()))
        for kind, listed in (("mx", destination.mx), ("domain", destination.domains)):
            for name in list(listed):
                owner = self.owners.setdefault((kind, name.lstrip(".") if kind == "mx" else name), destination)
                if owner is not destination:
                    listed.remove(name)
                    self.report.say("not taken over", destination.where, f'"{name}" is of {owner.where} already, whose limits and '
                                    "rules hold; the peer lays these over them")
        self.destinations.append(destination)
        return None

    def provider(self, title, section):
        where, report = f'provider "{title}"', self.report
        report.file = section["_file"]
        mx, domains = provider_names(section, where, report)
        limits = limits_of(section, where, report)
        dead = None if mx or domains else "the provider has no match list, so nothing belongs to it"
        if dead:
            report.say("dead", where, dead)
            self.rules += rules_of(section, plain(title), None, where, report, dead, self.rules_taken)
            return
        destination = Destination(None, where, section["_file"], mx, domains, limits)
        same = self.own(destination)
        if same:
            report.say("note", where, f"all that it matches is of {same.where}: both are one here, and the later limits count")
            same.limits.update(limits)
            destination = same
        else:
            destination.name = name_of(title, self.taken, where, report)
        sources_take(section, destination, where, report, self.addresses)
        destination.sections = getattr(destination, "sections", []) + [(section, plain(title), where)]

    def domain(self, domain, section):
        where, report = f'["{domain}"]', self.report
        report.file = section["_file"]
        if not re.fullmatch(r"(?!-)[^\s:/\[\]@]+\.[^\s:/\[\]@]+", domain):
            report.say("ignored", where, "no domain of mail: a queue of the MTA's own")
            return
        limits = limits_of(section, where, report)
        if section.get("mx_rollup", True):
            report.say("note", where, "the peer means all domains with the MX of this one; here it is this domain")
        owner = self.owners.get(("domain", domain.lower()))
        destination = Destination(None, where, section["_file"], [], [domain.lower()], limits)
        if owner and owner.domains == [domain.lower()] and not owner.mx:
            report.say("note", where, f"it is {owner.where} here, and these limits count")
            owner.limits.update(limits)
            destination = owner
        else:
            if owner:
                report.say("note", where, f"taken out of {owner.where}, whose limits and rules hold where this says nothing else")
                owner.domains.remove(domain.lower())
                destination.limits = {**owner.limits, **limits}
                owner.also.append(destination)
            self.owners["domain", domain.lower()] = destination
            destination.name = name_of(domain.lower(), self.taken, where, report)
            self.destinations.append(destination)
        sources_take(section, destination, where, report, self.addresses)
        destination.sections = getattr(destination, "sections", []) + [(section, destination.name, where)]

    def default_take(self, section):
        self.report.file = section["_file"]
        sources_take(section, None, '["default"]', self.report, self.addresses)
        limits = limits_of(section, '["default"]', self.report)
        if limits:
            self.default = Block("limits", '["default"]', section["_file"], limits_text(limits, "  "))
        self.rules += rules_of(section, "default", None, '["default"]', self.report, None, self.rules_taken)

    def blocks(self):
        for destination in self.destinations:
            for section, prefix, where in destination.sections:
                names = [destination.name] + [other.name for other in destination.also]
                self.rules += rules_of(section, prefix, names, where, self.report, None, self.rules_taken)
        listed = [block for destination in self.destinations for block in destination.blocks()]
        return [*([self.default] if self.default else []), *[block for block in listed if block.section == "destinations"],
                *[block for block in listed if block.section == "overrides"], *self.rules]


def convert(data, providers, report, addresses):
    result = Result(report, addresses)
    if "default" in data:
        result.default_take(data["default"])
    # In the peer's order: what is said of a domain is laid over what is said of its provider.
    for title, section in providers.items():
        result.provider(title, section)
    for domain, section in data.items():
        if domain != "default":
            result.domain(domain, section)
    return result.blocks()


# ---- the result ----------------------------------------------------------------------------------------

def document(head, blocks):
    """The text, and of each line which block it is of."""
    lines, owners, section = [head], [None], None
    for block in blocks:
        if block.section != section:
            start = [""] * (section is not None or len(lines) == 1) + [f"{block.section}:"]
            lines += start
            owners += [None] * len(start)
        elif block.section != "limits":
            lines.append("")
            owners.append(None)
        section = block.section
        body = block.text.rstrip("\n").split("\n")
        lines += body
        owners += [block] * len(body)
    return "\n".join(lines) + "\n", owners


def check(program, text):
    """What `tollgate check` says of it: (line, error or warning, words)."""
    shared = os.memfd_create("import")
    with os.fdopen(shared, "wb") as file:
        file.write(text.encode())
        file.flush()
        path = f"/proc/self/fd/{shared}"
        done = subprocess.run(["tollgate", "check", "--elsewhere", path], executable=program, pass_fds=[shared],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    found = re.findall(rf"^{re.escape(path)}:(?:(\d+):(?:\d+:)?)? ?(error|warning): (.*)", done.stderr, re.M)
    problems = [(int(line or 0), kind, words.replace(path, "the result")) for line, kind, words in found]
    if done.returncode and not any(kind == "error" for _, kind, _ in problems):
        problems.append((0, "error", done.stderr.strip() or f"tollgate check ended with {done.returncode}"))
    return problems


def accepted(program, head, blocks, report):
    """The text of what is left once `check` has nothing against it any more; None: nothing helps."""
    while True:
        text, owners = document(head, blocks)
        problems = check(program, text)
        errors = [(owners[line - 1] if 0 < line <= len(owners) else None, line, words)
                  for line, kind, words in problems if kind == "error"]
        if not errors:
            break
        if any(block is None for block, _, _ in errors):
            print(f"{report.names[0]}: the result is no configuration: {errors[0][2]}", file=sys.stderr)
            return None
        for block, line, words in errors:
            report.file = block.file
            report.say("not taken over", block.where, words)
            if block.section == "limits":
                block.text = block.text.replace(text.split("\n")[line - 1] + "\n", "")
        blocks = [block for block in blocks if block.text and
                  (block.section == "limits" or all(block is not wrong for wrong, _, _ in errors))]
    for line, _, words in problems:
        block = owners[line - 1] if 0 < line <= len(owners) else None
        report.file = block.file if block else report.names[0]
        report.say("note", block.where if block else "the result", words)
    sizes = {name: sum(block.section == name for block in blocks) for name in ("destinations", "rules")}
    print(f"{' '.join(report.names)}: {sizes['destinations']} destinations, {sizes['rules']} rules; {report.dead} dead, "
          f"{report.left} not taken over", file=sys.stderr)
    return text


USAGE = "usage: tollgate import kumomta [--source NAME=ADDRESS]... FILE..."


def arguments(words):
    """(files, addresses by name), or None."""
    files, addresses = [], {}
    while words:
        word = words.pop(0)
        if word == "--source" and words and "=" in words[0]:
            name, _, address = words.pop(0).rpartition("=")
            addresses[name] = address
        elif word.startswith("-"):
            return None
        else:
            files.append(word)
    return (files, addresses) if files else None


def main():
    program, asked = sys.argv[1], arguments(sys.argv[2:])
    if not asked:
        print(USAGE, file=sys.stderr)
        return 2
    files, addresses = asked
    read_files = []
    for path in files:
        try:
            read_files.append(read(path))
        except (OSError, ValueError, RecursionError, Bad) as why:
            print(f"{path}: {getattr(why, 'strerror', None) or why}", file=sys.stderr)
            return 1
    report = Report(files)
    data, providers = merge(read_files, report)
    head = f"# Made by tollgate import kumomta from {', '.join(map(plain, files))}."
    text = accepted(program, head, convert(data, providers, report, addresses), report)
    if text is None:
        return 1
    print(text, end="")
    return 0


sys.exit(main())
