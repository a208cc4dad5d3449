"""Where a trial runs: the contract of executors, this process, and worker processes."""

from __future__ import annotations

from hpsearch.execution.executor import Executor as Executor
from hpsearch.execution.executor import LoopExecutor as LoopExecutor
