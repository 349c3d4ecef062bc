"""The Session protocol as pure functions: no sockets, no clock, no hidden state.

Whatever draws randomness or reads the time takes it as an argument; every malformed input ends in a
:class:`session_protocol.errors.ProtocolError`.
"""
