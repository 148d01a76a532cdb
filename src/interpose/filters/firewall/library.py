"""libmodsecurity, as far as it is used: a rule set, and transactions that are asked of it.

Debian's own library, by its C interface. It is called from the one thread of a firewall process, so nobody waits for
the interpreter's lock; what it says about matches comes by a callback, in the middle of the call that made it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any, Final

_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_INT = ctypes.c_int
_SIZE = ctypes.c_size_t
_ERROR = ctypes.POINTER(ctypes.c_char_p)
_LOG: Final = ctypes.CFUNCTYPE(None, _POINTER, _TEXT)


class _Intervention(ctypes.Structure):
    _fields_ = (
        ("status", _INT),
        ("pause", _INT),
        ("url", _POINTER),
        ("log", _POINTER),
        ("disruptive", _INT),
    )


class Library:
    """The library at `path`; `said` gets each of its messages. OSError when it cannot be loaded."""

    def __init__(self, path: str, said: Callable[[bytes], None]) -> None:
        library = ctypes.CDLL(path)
        self._said = said

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.new_rules = function("msc_create_rules_set", _POINTER)
        self.add_rules = function("msc_rules_add", _INT, _POINTER, _TEXT, _ERROR)
        self.new_transaction = function("msc_new_transaction_with_id", _POINTER, _POINTER, _POINTER, _TEXT, _POINTER)
        self.connection = function("msc_process_connection", _INT, _POINTER, _TEXT, _INT, _TEXT, _INT)
        self.uri = function("msc_process_uri", _INT, _POINTER, _TEXT, _TEXT, _TEXT)
        self.request_field = function("msc_add_n_request_header", _INT, _POINTER, _TEXT, _SIZE, _TEXT, _SIZE)
        self.request_head = function("msc_process_request_headers", _INT, _POINTER)
        self.append_request = function("msc_append_request_body", _INT, _POINTER, _TEXT, _SIZE)
        self.request_body = function("msc_process_request_body", _INT, _POINTER)
        self.response_field = function("msc_add_n_response_header", _INT, _POINTER, _TEXT, _SIZE, _TEXT, _SIZE)
        self.response_head = function("msc_process_response_headers", _INT, _POINTER, _INT, _TEXT)
        self.append_response = function("msc_append_response_body", _INT, _POINTER, _TEXT, _SIZE)
        self.response_body = function("msc_process_response_body", _INT, _POINTER)
        self.log = function("msc_process_logging", _INT, _POINTER)
        self.end = function("msc_transaction_cleanup", None, _POINTER)
        self._intervene = function("msc_intervention", _INT, _POINTER, ctypes.POINTER(_Intervention))
        self._free = ctypes.CDLL(None).free
        self._free.restype, self._free.argtypes = None, (_POINTER,)
        self._callback = _LOG(lambda _, message: said(message or b""))  # must live as long as the library is used
        self.handle = function("msc_init", _POINTER)()
        function("msc_set_log_cb", None, _POINTER, _POINTER)(self.handle, ctypes.cast(self._callback, _POINTER))

    def load(self, text: str) -> tuple[Any, int, str]:
        """A rule set made of `text`: its handle, how many rules it has, and why it has none."""
        error = ctypes.c_char_p()
        rules = self.new_rules()
        count = self.add_rules(rules, text.encode(), ctypes.byref(error))
        return rules, count, "" if count >= 0 else (error.value or b"").decode("utf-8", "replace")

    def status(self, transaction: Any) -> int:
        """The status of a refusal that a rule demands by now, 0 for none."""
        found = _Intervention(200, 0, None, None, 0)
        if not self._intervene(transaction, ctypes.byref(found)):
            return 0
        if found.log:  # the words of the rule that refuses come here, and not by the callback
            self._said(ctypes.string_at(found.log))
        for text in (found.url, found.log):
            if text:
                self._free(text)
        return found.status if found.disruptive else 0


class Transaction:
    """One request and its answer, asked of `rules`."""

    def __init__(self, library: Library, rules: Any, name: str) -> None:
        self._library = library
        self._handle = library.new_transaction(library.handle, rules, name.encode(), None)

    def request(
        self,
        client: tuple[str, int],
        local: tuple[str, int],
        line: tuple[str, str, str],
        fields: Iterable[tuple[bytes, bytes]],
        body: bytes,
    ) -> int:
        """Ask about a request, whose `line` is method, target and version; the status of a refusal, or 0."""
        library, handle = self._library, self._handle
        method, target, version = line
        library.connection(handle, client[0].encode(), client[1], local[0].encode(), local[1])
        library.uri(handle, target.encode("latin-1", "replace"), method.encode(), version.encode())
        add = library.request_field
        for name, value in fields:
            add(handle, name, len(name), value, len(value))
        library.request_head(handle)
        status = library.status(handle)
        if status:
            return status
        if body:
            library.append_request(handle, body, len(body))
        library.request_body(handle)
        return library.status(handle)

    def answer(self, status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> int:
        """Ask about the answer; the status of a refusal, or 0."""
        library, handle = self._library, self._handle
        add = library.response_field
        for name, value in fields:
            add(handle, name, len(name), value, len(value))
        library.response_head(handle, status, b"HTTP/1.1")
        refused = library.status(handle)
        if refused:
            return refused
        if body:
            library.append_response(handle, body, len(body))
        library.response_body(handle)
        return library.status(handle)

    def finish(self) -> None:
        """Have the rules asked that sum up."""
        self._library.log(self._handle)

    def end(self) -> None:
        """Free it."""
        self._library.end(self._handle)
