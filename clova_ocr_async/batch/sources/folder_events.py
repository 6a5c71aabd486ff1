"""Events of the file system below a folder, as a reason to scan it at once. Needs the extra ``watch``.

Events alone would lose files: the system drops them when too many come at once, network drives send none for changes of
other machines, and a new sub-folder may be filled before it is watched. So an event only shows that a scan is due.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from watchfiles import watch

from clova_ocr_async.protocol.echoed_input import shown_path, shown_prose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

__all__ = ["FolderEvents"]

logger = logging.getLogger("clova_ocr_async")

_STEP = 200  # milliseconds between looks for events: a file must stand still for seconds anyway
_BEGUN = 1_000  # milliseconds after which the thread reports that it watches, though nothing has happened


class FolderEvents:
    """Calls a function when something has changed below a folder, from a thread of its own.

    Args:
        path: The folder.
        notify: Called at each change, and also when the events begin and when they end.
        recursive: Also for changes in its sub-folders.
        open_changes: Yields sets of changes, as ``watchfiles.watch`` does.

    Attributes:
        working: Whether changes are noticed now.
    """

    def __init__(
        self,
        path: str,
        notify: Callable[[], object],
        *,
        recursive: bool = True,
        open_changes: Callable[..., Iterator[Collection[object]]] = watch,
    ) -> None:
        self.working = False
        self._path = path
        self._notify = notify
        self._recursive = recursive
        self._open_changes = open_changes
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clova-ocr-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call no more; returns when the thread has ended."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        changes = self._open_changes(
            self._path,
            watch_filter=None,  # its own filter leaves out folders of programmers, such as node_modules
            step=_STEP,
            stop_event=self._closed,
            rust_timeout=_BEGUN,
            yield_on_timeout=True,
            raise_interrupt=False,  # a Ctrl-C is for the main thread
            force_polling=False,  # the scans are the polling
            recursive=self._recursive,
            ignore_permission_denied=False,  # if true, other errors would be silent as well
        )
        try:
            for change in changes:
                if change or not self.working:  # a change just before the first events would be found late
                    self.working = True
                    self._notify()
        except (OSError, RuntimeError) as error:  # such as the system's limit of watched folders
            logger.warning(
                "%s: the system reports no changes (%s); the folder is scanned every second instead",
                shown_path(self._path),
                shown_prose(error),
            )
        finally:
            self.working = False
        if not self._closed.is_set():
            self._notify()
