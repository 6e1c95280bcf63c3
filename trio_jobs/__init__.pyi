from .app import Handle as Handle
from .app import Jobs as Jobs
from .client import Client as Client
from .client import SyncClient as SyncClient
from .config import Settings as Settings
from .errors import Cancel as Cancel
from .errors import Fail as Fail
from .errors import JobFailed as JobFailed
from .errors import Retry as Retry
from .errors import Snooze as Snooze
from .errors import TimedOut as TimedOut
from .registry import Ctx as Ctx

__version__: str
