"""Every bound on what a client may send, hold or keep waiting, each with its reason.

What applies them reads them here when it needs them: requests in request_limits.py, connections in
slow_clients.py, browsers with a WebSocket in websocket/seats.py. docs/limits.md tells people.
"""

from __future__ import annotations

KILOBYTE = 1024

MAX_BODY = 1024 * KILOBYTE
"""The longest body of a request: a job is a few KB, a hundred times that is no definition."""
MAX_BODIES = 32 * MAX_BODY
"""Of all bodies that are being received, in memory: more than that waits for a better moment."""
MAX_BODY_OF_STRANGER = 16 * KILOBYTE
"""Of somebody who is not signed in: the form for that is a few hundred characters."""
MAX_BODIES_OF_STRANGERS = 2 * MAX_BODY
"""Of all of theirs together: whoever is signed in does not wait for strangers."""
MAX_BODIES_OF_UNKNOWN = 3 * MAX_BODIES_OF_STRANGERS // 4
"""Of those from where nobody has signed in lately: what is left is for who comes back."""
MAX_BODIES_OF_ADDRESS = 8 * MAX_BODY_OF_STRANGER
"""Of one stranger's address: nobody keeps all others from signing in. Not of this machine's own,
where a proxy stands for everybody."""
MAX_DISCARDED = 16 * MAX_BODY
"""So much of a message is read off the line, if only to have a refusal read by whoever sends all
before it listens; with the framing of chunks and what may follow the last of them."""
MAX_REQUEST_LINE = 8 * KILOBYTE
"""The longest address: filters and a search are some hundred characters; RFC 9110, 4.1, asks for
8,000."""
MAX_HEADER_BYTES = 32 * KILOBYTE
"""Of names and values together: a browser sends about 1 KB, a proxy with tickets some more."""
MAX_HEADERS = 100
"""Fields of a request: a browser behind two proxies sends thirty."""
MAX_PIPELINED = 8
"""Requests that wait on a connection for the answer to the one before; no browser does it."""
MAX_PIPELINED_BYTES = MAX_HEADER_BYTES
"""Of their addresses and headers, where they are more than one."""

MAX_REQUESTS = 100
"""Under way at once. A page takes some milliseconds, so that the last of so many still comes
within a second; a browser asks for six at a time."""
MAX_HEALTH_REQUESTS = 16
"""Under way beside those, of what watches the dashboard: it must tell of a flood."""
RETRY_AFTER_SECONDS = 2
"""When one who was refused may try again: a queue of the length above is empty by then."""

MAX_CONNECTIONS = 3000
"""In all: as many browsers with a WebSocket as there may be, and a thousand for pages."""
FILES_OF_OUR_OWN = 256
"""Open files that no connection may take: the database, job files, journals, runs' pipes."""
WANTED_FILES = 8192
"""Open files that are asked of the system where the usual bound is lower (1,024)."""

HEADER_SECONDS = 10.0
"""How long a request's head may take from its first byte, and from the connection: it is one
packet, which a bad line sends again after one, three and seven seconds."""
BODY_SECONDS = 30.0
"""How long a body may take in all: the longest one needs 35 KB/s, a form 100 bytes/s."""
BODY_GRACE_SECONDS = 8.0
"""After that a body must have kept the pace below on the average."""
BODY_BYTES_PER_SECOND = 100
"""A form of 3 KB then comes in time over any line; one byte a second does not."""
IDLE_SECONDS = 15.0
"""How long a connection is kept for the next request: longer than a page without a WebSocket waits
between two questions (5 s), shorter than a phone forgets the network."""
UNREAD_SECONDS = 30.0
"""How long an answer may make no way. Not how long it may take: a log over a slow phone may take
an hour."""
LEAST_READ = KILOBYTE
"""What counts as way within that time; a phone with one bar reads fifty times that."""
LAST_WORD_SECONDS = 1.0
"""How long what was said last may take to leave before the connection is cut off."""

MAX_CLIENTS = 2000
"""Browsers with a WebSocket in all; a thousand of them were measured at 32 KB each."""
MAX_CLIENTS_OF_ADDRESS = 200
"""Of one address: a house behind one router. Not of this machine's own, where a proxy stands for
everybody."""
MAX_CLIENTS_OF_SESSION = 50
"""Of one session: as many tabs as somebody may have forgotten about."""
MAX_MESSAGE = 64 * KILOBYTE
"""What a browser may send at once: the ids of the cards it shows, at most 500 of 64 characters."""
MAX_FRAGMENTS = 64
"""Frames in which a message may come; a browser sends one."""
