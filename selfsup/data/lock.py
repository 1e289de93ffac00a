"""One process at a time: a lock that the system lets go of when its process ends, however it ends."""

from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(file: Path) -> IO[bytes]:
    """Lock a file while the handle is open and this process lives; nothing stale is ever left.

    POSIX record locks belong to one process: those that it forks, such as a loader's workers, do not keep the lock
    after it was killed. For the same reason it holds off other processes only, not this one.

    Args:
        file: made if it is not there; its content does not matter.
    Returns:
        the open file; closing it lets go.
    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made, or the system or this file system has no locks.
    """
    handle = file.open("ab")
    try:
        if fcntl is None:
            raise OSError("this system has no record locks")
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # POSIX leaves the choice between EACCES and EAGAIN
        handle.close()
        raise BlockingIOError(*error.args) from error
    except OSError:
        handle.close()
        raise
    return handle
