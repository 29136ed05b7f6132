"""Who may read pages and the API. Probes, metrics and webhooks are not asked here.

On the loopback everybody may, as whoever is there can read more than this. But any page that a browser shows there can
make it ask, if that page's name leads to the loopback (DNS rebinding): so the name that it asks by must be ours.
Elsewhere, and wherever a token is set, a request must prove itself: by a token, or by coming from a proxy that was
named and says who is behind it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers

from reconciler.core.readable import counted
from reconciler.web.journal import Journal
from reconciler.web.refusals import Refusal, Refused
from reconciler.web.shared_secrets import Secrets, Unusable

Network = IPv4Network | IPv6Network
MISSES = 10
"""Wrong tokens from one address, before it is not listened to."""
MISS_SECONDS = 6.0
"""After which one of them is forgiven."""
ADDRESSES = 1_024
"""That are remembered for wrong tokens; the oldest is forgotten first."""
NAME_CHARACTERS = 200
"""Of a name that a proxy gives."""
_SET = "set web.token_file or web.token_env, or web.trusted_header with web.trusted_proxies; docs/web.md says how"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What proxies add: whoever is behind one need not be on this machine."""
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="reconciler", charset="UTF-8", Bearer realm="reconciler"'}


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may read, as the settings say."""

    host: str
    """That is listened on: a name or an address, without brackets."""
    url_host: str = ""
    """Of the address that people use, where that is another; empty: there is none."""
    tokens: Secrets | None = None
    header: str = ""
    """In which a trusted proxy says who asks; empty: none is trusted."""
    proxies: tuple[Network, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can ask."""
        return is_loopback(self.host)

    @property
    def open(self) -> bool:
        """Whether whoever can reach it may read."""
        return self.loopback and self.tokens is None and not self.header

    @property
    def shut(self) -> bool:
        """Whether nobody may, as nobody said who."""
        return not self.loopback and self.tokens is None and not self.header

    def told(self) -> str:
        """In a few words, for who checks the settings."""
        if self.shut:
            return "pages and API are refused to everybody, as neither a token nor a trusted proxy is set"
        if self.open:
            return "pages and API are open to everybody on this machine"
        ways = []
        if self.tokens:
            ways.append(f"with {counted(len(self.tokens.current()), 'token')}")
        if self.header:
            ways.append(f"behind {', '.join(map(str, self.proxies))}, which names people in {self.header}")
        return f"pages and API are open {' and '.join(ways)}"


class Access:
    """Lets in or refuses. Used in the listener's loop alone.

    Args:
        rules: Who may read.
        journal: Told when the tokens can't be read.
        now: Seconds that never go back.
    """

    def __init__(self, rules: Rules, journal: Journal, now: Callable[[], float]) -> None:
        self._rules = rules
        self._journal = journal
        self._misses = Misses(now)

    def admit(self, headers: Headers, peer: str) -> str:
        """The name of who asks, as far as somebody who is trusted gave one; else nothing.

        Args:
            headers: Of the request.
            peer: The address that the connection comes from.

        Raises:
            Refused: It may not read.
        """
        rules = self._rules
        _expect_no_other_site(headers)
        if rules.header and is_among(peer, rules.proxies):
            names = [name.strip() for name in headers.getlist(rules.header)]
            if len(names) == 1 and names[0]:
                self._expect_our_name(headers)
                return names[0][:NAME_CHARACTERS]
        if rules.tokens is not None:
            self._expect_token(rules.tokens, headers, peer)
            return ""
        if rules.header:
            hint = "come by way of the proxy; it is named in web.trusted_proxies, and must set web.trusted_header"
            raise Refused(Refusal(403, "NotTrusted", "only a trusted proxy may ask, and it must say for whom", hint))
        if rules.shut:
            message = "this listens on more than the loopback, and nothing says who may read"
            raise Refused(Refusal(403, "AccessNotSet", message, _SET))
        if not rules.url_host and any(name in headers for name in _FORWARDED):
            message = "this came by way of a proxy, and nothing says who may read behind it"
            raise Refused(Refusal(403, "AccessNotSet", message, _SET))
        self._expect_our_name(headers)
        return ""

    def _expect_our_name(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or not is_ours(host_of(given[0]), self._rules):
            message = "the name in the request's Host header is none of ours"
            hint = "ask by the address that is listened on, or set web.url to the address that people use"
            raise Refused(Refusal(403, "HostNotAllowed", message, hint))

    def _expect_token(self, tokens: Secrets, headers: Headers, peer: str) -> None:
        given = token_of(headers)
        if given is None:
            message, hint = (
                "a token is needed",
                "send it as `Authorization: Bearer …`, or as the password of HTTP Basic",
            )
            raise Refused(Refusal(401, "TokenMissing", message, hint, _CHALLENGE))
        if not self._misses.knows(peer, given) and (wait := self._misses.wait(peer)):
            message = "too many wrong tokens came from this address"
            raise Refused(Refusal(429, "TooManyTokens", message, "wait, then try again", {"Retry-After": str(wait)}))
        try:
            known = tokens.current()
        except Unusable as problem:
            self._journal.trouble(problem)
            message, hint = "tokens can't be checked now", "the daemon's log says why"
            raise Refused(Refusal(503, "NotReady", message, hint, {"Retry-After": "10"})) from None
        if not among(given, known):
            self._misses.add(peer)
            raise Refused(Refusal(401, "TokenWrong", "this token is not known", "check it for a typo", _CHALLENGE))
        self._misses.hit(peer, given)


class Misses:
    """Wrong tokens of the last moments, by address: some at once, then one in `MISS_SECONDS`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._debts: OrderedDict[str, float] = OrderedDict()
        """By address: when its last miss is forgiven."""
        self._hits: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """Addresses, each with the digest of a token that was right."""

    def add(self, peer: str) -> None:
        """One more."""
        key = neighbours(peer)
        self._debts[key] = max(self._debts.pop(key, 0.0), self._now()) + MISS_SECONDS
        if len(self._debts) > ADDRESSES:
            self._debts.popitem(last=False)

    def wait(self, peer: str) -> int:
        """Seconds for which an address is not listened to; 0: it is."""
        debt = self._debts.get(neighbours(peer), 0.0) - self._now()
        return max(0, math.ceil(debt - (MISSES - 1) * MISS_SECONDS))

    def hit(self, peer: str, token: bytes) -> None:
        """A token was right."""
        key = neighbours(peer), hashlib.sha256(token).digest()
        self._hits[key] = None
        self._hits.move_to_end(key)
        if len(self._hits) > ADDRESSES:
            self._hits.popitem(last=False)

    def knows(self, peer: str, token: bytes) -> bool:
        """Whether that token was right from that address before: who uses it is not locked out by a neighbour.

        Behind a proxy all have one address, and any of them could make it unheard for all.
        """
        return (neighbours(peer), hashlib.sha256(token).digest()) in self._hits


def _expect_no_other_site(headers: Headers) -> None:
    """A browser says whose page asks. Ours may ask for anything, another one may have a person come here.

    What another page asked for behind their back it could not read anyway; but it could tell what is here by how long
    or how large an answer is, and take the places of those who may read. https://www.w3.org/TR/fetch-metadata/

    Raises:
        Refused: Another site's page asks.
    """
    came = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and came != ("navigate", "document"):
        hint = "open the address by itself; a program must not send Sec-Fetch-Site"
        raise Refused(Refusal(403, "OtherSite", "a page of another site asked for this", hint))


def token_of(headers: Headers) -> bytes | None:
    """What a request gives as its token; None: nothing."""
    given = headers.getlist("authorization")
    if len(given) != 1:
        return None
    scheme, _, rest = given[0].partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("latin-1") or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[2] or None
    except (binascii.Error, ValueError):
        return None


def among(given: bytes, known: tuple[bytes, ...]) -> bool:
    """Whether one of them was given, in the same time for any, however long they are."""
    digest = hashlib.sha256(given).digest()
    return any([hmac.compare_digest(digest, hashlib.sha256(one).digest()) for one in known])  # noqa: C419 - all of them


def host_of(header: str) -> str:
    """The host in a Host header, without its port and brackets, in small letters."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def is_ours(host: str, rules: Rules) -> bool:
    """Whether a name can lead to nobody but us: ours, or an address, which no resolver can turn to another."""
    if host in (rules.url_host.lower(), rules.host.lower()) and host:
        return True
    address = _address(rules.host)
    everywhere = address is not None and address.is_unspecified
    return is_loopback(host) or (everywhere and _address(host) is not None)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by a name that no resolver decides."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def is_among(peer: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of some networks."""
    address = _address(peer)
    return address is not None and any(address in network for network in networks)


def network(text: str) -> Network:
    """An address, or a network such as `10.0.0.0/8`.

    Raises:
        ValueError: It is none.
    """
    return ip_network(text, strict=False)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def neighbours(peer: str) -> str:
    """What one party has at its own will: an address, or 64 bits of them."""
    address = _address(peer)
    return str(IPv6Network((int(address) >> 64 << 64, 64))) if isinstance(address, IPv6Address) else peer
