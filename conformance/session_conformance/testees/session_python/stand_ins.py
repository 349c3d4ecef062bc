"""Stand in for network and clock of session-python, to have a step of sending or polling alone."""

import contextlib
import time
from types import SimpleNamespace

import session_python.client
import session_python.polling


class RecordingNetwork:
    """Stand in for the package's network: answer with success and keep what was to be stored."""

    def __init__(self):
        self.requests = []

    def get_snodes_from_seeds(self):
        """Offer one node that nobody will ever connect to."""
        return [{"public_ip": "127.0.0.1", "storage_port": 1}]

    def snode_batch_request(self, snode, requests_list, timeout=10, method="batch"):
        """Record the requests; answer a swarm of one, and a hash for everything that is stored."""
        self.requests += requests_list
        bodies = {"get_swarm": {"snodes": [{"ip": "127.0.0.1", "port": "1"}]}}
        return [{"code": 200, "body": bodies.get(one["method"], {"hash": "A" * 43})} for one in requests_list]

    def stored_for(self, account_id):
        """Return the data of the first store into somebody's mailbox."""
        for request in self.requests:
            if request["method"] == "store" and request["params"]["pubkey"] == account_id:
                return request["params"]["data"]
        raise AssertionError("the package stored nothing for " + account_id)


class MailboxNetwork(RecordingNetwork):
    """Stand in for the package's network: a mailbox with one message."""

    def __init__(self, data_base64):
        super().__init__()
        self._data = data_base64

    def snode_batch_request(self, snode, requests_list, timeout=10, method="batch"):
        """Answer a retrieve of namespace 0 with the message, of others with nothing."""
        answers = super().snode_batch_request(snode, requests_list, timeout, method)
        for request, answer in zip(requests_list, answers, strict=True):
            if request["method"] == "retrieve":
                message = {"hash": "A" * 43, "data": self._data}
                answer["body"] = {"messages": [message] if request["params"]["namespace"] == 0 else []}
        return answers


@contextlib.contextmanager
def clock_at(timestamp_ms):
    """Let the package's modules read a set time (milliseconds) instead of the system's clock."""
    # Half a millisecond more: the package multiplies by 1000 and cuts off.
    still = SimpleNamespace(time=lambda: (timestamp_ms + 0.5) / 1000)
    modules = (session_python.client, session_python.polling)
    for module in modules:
        module.time = still
    try:
        yield
    finally:
        for module in modules:
            module.time = time


@contextlib.contextmanager
def recorded_contents():
    """Collect the Content bytes that the package pads while it sends."""
    genuine, contents = session_python.client.add_message_padding, []

    def record(content):
        contents.append(content)
        return genuine(content)

    session_python.client.add_message_padding = record
    try:
        yield contents
    finally:
        session_python.client.add_message_padding = genuine
