"""The one owner of processes in a run: spawns, drains, signals the group and reaps.

`os.posix_spawn` instead of `subprocess`: it is all that is needed, and 1.4 MiB smaller.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence

from core.engines.base import OpenFile
from core.runner.pipe import BUSY, Pipe, Segments

_BREATH_MILLISECONDS = 15
"""Between two reads of a quiet pipe: waking for each line would cost the tool its speed."""
_TICK_SECONDS = 0.1
_LAST_WORDS_SECONDS = 2.0
"""How long a pipe is read after its process ended, in case something else still holds it."""

_PARTING_SECONDS = 0.2
"""How long a killed process's pipes are read: a stranger to its group may hold them for ever."""


class StopSwitch:
    """Hears SIGTERM and SIGINT; `requested` says that a person wants the run to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def fileno(self) -> int:
        """A descriptor that becomes readable when a signal came."""
        return self._read_end

    def clear_wakeups(self) -> None:
        """Empty the wake-up pipe."""
        try:
            while os.read(self._read_end, 512):
                pass
        except BlockingIOError:
            return

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as a stop is requested."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            select.select([self._read_end], [], [], left)
            self.clear_wakeups()
        return self.requested

    def _heard(self, _number: int, _frame: object) -> None:
        self.requested = True


class Child:
    """A process in a group of its own, with standard output and standard error drained."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        take_output: Segments,
        take_errors: Segments,
        line_limit: int,
        niceness: int = 0,
    ) -> None:
        """Start it. Raises OSError when the executable cannot be run."""
        self.exit_code: int | None = None
        self.has_ended = False
        self._pipes = [Pipe(take_output, line_limit), Pipe(take_errors, line_limit)]
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.pid = os.posix_spawn(
                argv[0],
                list(argv),
                dict(environment),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, self._pipes[0].write_end, 1),
                    (os.POSIX_SPAWN_DUP2, self._pipes[1].write_end, 2),
                ],
                setpgroup=0,
                setsigmask=(),
                setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE),
            )
        except OSError:
            for pipe in self._pipes:
                pipe.close()
            raise
        finally:
            os.close(null)
            for pipe in self._pipes:
                os.close(pipe.write_end)
        if niceness:
            os.setpriority(os.PRIO_PROCESS, self.pid, niceness)
        self.pidfd = os.pidfd_open(self.pid)

    @property
    def open_pipes(self) -> list[Pipe]:
        """The outputs that have not come to their end."""
        return [pipe for pipe in self._pipes if pipe.is_open]

    def signal_group(self, number: int) -> None:
        """Signal the whole group; nothing happens when it is gone."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def look(self) -> None:
        """Take note of its end; its helpers may still be keeping a partial file."""
        if not self.has_ended:
            state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self.has_ended = state is not None

    def reap(self) -> None:
        """Take its exit code once it has ended; what is left of its group is killed.

        Before the leader is waited for, so that its pid, which names the group, is still its own.
        """
        if self.exit_code is not None:
            return
        self.signal_group(signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.exit_code = os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Let go of an ended child."""
        for pipe in self._pipes:
            pipe.close()
        os.close(self.pidfd)


class Attendant:
    """Attends one main child, and perhaps one beside it, until the main one has ended."""

    def __init__(self, stop: StopSwitch, *, grace_seconds: float) -> None:
        self._stop = stop
        self._grace_seconds = grace_seconds
        self._stopped_at: float | None = None
        self._killed = False
        self._last_moment = float("inf")
        """After that nothing is heard of a stopped process, in monotonic seconds."""
        self._beside: list[Child] = []

    def attend_beside(self, child: Child) -> None:
        """From now on attend this child as well as the main one."""
        self._beside.append(child)

    def attend(self, main: Child, *, on_tick: Callable[[], None]) -> int:
        """Drain it and what is beside it until it has ended; returns its exit code.

        `on_tick` is called about ten times a second. When a stop is requested the main child's
        group gets SIGTERM, and SIGKILL after the grace period.
        """
        ended_at: float | None = None
        next_tick = time.monotonic() + _TICK_SECONDS
        while main.exit_code is None:
            children = [main, *(child for child in self._beside if child is not main)]
            busy = self._read_ready(children, next_tick)
            now = time.monotonic()
            if now >= next_tick:
                on_tick()
                next_tick = now + _TICK_SECONDS
            self._heed_stop(main, now)
            for child in children:
                child.look()
                # Helpers hold the pipes while they are at work.
                if child.has_ended and not child.open_pipes:
                    child.reap()
            if not main.has_ended:
                if not busy:
                    self._breathe(main)
                continue
            ended_at = ended_at or now
            if now > min(ended_at + _LAST_WORDS_SECONDS, self._last_moment):
                main.reap()
        main.close()
        assert main.exit_code is not None
        return main.exit_code

    def finish(self, child: Child, *, kill: bool) -> int:
        """End a child that was attended beside another one; returns its exit code."""
        if kill:
            child.signal_group(signal.SIGKILL)
        return self.attend(child, on_tick=lambda: None)

    def _heed_stop(self, main: Child, now: float) -> None:
        if not self._stop.requested:
            return
        if self._stopped_at is None:
            self._stopped_at = now
            self._last_moment = now + self._grace_seconds + _PARTING_SECONDS
            main.signal_group(signal.SIGTERM)
        elif not self._killed and now - self._stopped_at > self._grace_seconds:
            self._killed = True
            main.signal_group(signal.SIGKILL)

    def _read_ready(self, children: list[Child], next_tick: float) -> bool:
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        pipes = {pipe.read_end: pipe for child in children for pipe in child.open_pipes}
        for descriptor in pipes:
            poller.register(descriptor, select.POLLIN)
        for child in children:
            if not child.has_ended:
                poller.register(child.pidfd, select.POLLIN)
        busy = False
        timeout = max(0.0, next_tick - time.monotonic()) * 1000
        for descriptor, _ in poller.poll(timeout):
            if descriptor in pipes:
                busy = pipes[descriptor].read() >= BUSY or busy
            else:
                self._stop.clear_wakeups()
        return busy

    def _breathe(self, main: Child) -> None:
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        poller.register(main.pidfd, select.POLLIN)
        poller.poll(_BREATH_MILLISECONDS)


def file_under_way(pid: int, source: str) -> OpenFile | None:
    """Return the file beneath `source` that a process has open, and how far it has read.

    From /proc/<pid>/fd and fdinfo (proc(5)): it costs the tool nothing, where its own meter costs
    5% of the time over many small files. None when there is none or it may not be looked at.
    """
    # The kernel tells real paths, whatever symbolic links the source was named by.
    top = os.fsencode(os.path.realpath(source))
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            link = os.fsencode(f"/proc/{pid}/fd/{number}")
            path = os.readlink(link)
            if path != top and not path.startswith(top + b"/"):
                continue
            # rsync has folders of the source open as well.
            facts = os.stat(link)
            # One that was removed meanwhile has another name there, and none to go on from.
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink:
                name = path[len(top) + 1 :] or os.path.basename(top)
                with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
                    return OpenFile(name, int(file.readline().split()[1]))
    except (OSError, ValueError, IndexError):
        return None
    return None
