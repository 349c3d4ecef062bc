from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WebSocketMessage(_message.Message):
    __slots__ = ("type", "request")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[WebSocketMessage.Type]
        REQUEST: _ClassVar[WebSocketMessage.Type]
        RESPONSE: _ClassVar[WebSocketMessage.Type]
    UNKNOWN: WebSocketMessage.Type
    REQUEST: WebSocketMessage.Type
    RESPONSE: WebSocketMessage.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    type: WebSocketMessage.Type
    request: WebSocketRequest
    def __init__(self, type: _Optional[_Union[WebSocketMessage.Type, str]] = ..., request: _Optional[_Union[WebSocketRequest, _Mapping]] = ...) -> None: ...

class WebSocketRequest(_message.Message):
    __slots__ = ("verb", "path", "body", "id", "headers")
    VERB_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    verb: str
    path: str
    body: bytes
    id: int
    headers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verb: _Optional[str] = ..., path: _Optional[str] = ..., body: _Optional[bytes] = ..., id: _Optional[int] = ..., headers: _Optional[_Iterable[str]] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("type", "source", "timestamp", "source_device", "content", "server_timestamp", "prosig")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SESSION_MESSAGE: _ClassVar[Envelope.Type]
        CLOSED_GROUP_MESSAGE: _ClassVar[Envelope.Type]
    SESSION_MESSAGE: Envelope.Type
    CLOSED_GROUP_MESSAGE: Envelope.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DEVICE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PROSIG_FIELD_NUMBER: _ClassVar[int]
    type: Envelope.Type
    source: str
    timestamp: int
    source_device: int
    content: bytes
    server_timestamp: int
    prosig: bytes
    def __init__(self, type: _Optional[_Union[Envelope.Type, str]] = ..., source: _Optional[str] = ..., timestamp: _Optional[int] = ..., source_device: _Optional[int] = ..., content: _Optional[bytes] = ..., server_timestamp: _Optional[int] = ..., prosig: _Optional[bytes] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("data_message", "call", "receipt", "typing", "data_extraction", "unsend", "message_request_response", "shared_config", "expiration_type", "expiration_seconds", "sig_timestamp", "pro_message", "prosig_for_community")
    class ExpirationType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFF: _ClassVar[Content.ExpirationType]
        DELETE_AFTER_READ: _ClassVar[Content.ExpirationType]
        DELETE_AFTER_SEND: _ClassVar[Content.ExpirationType]
    OFF: Content.ExpirationType
    DELETE_AFTER_READ: Content.ExpirationType
    DELETE_AFTER_SEND: Content.ExpirationType
    DATA_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    DATA_EXTRACTION_FIELD_NUMBER: _ClassVar[int]
    UNSEND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_REQUEST_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    SHARED_CONFIG_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SIG_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PRO_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROSIG_FOR_COMMUNITY_FIELD_NUMBER: _ClassVar[int]
    data_message: DataMessage
    call: CallMessage
    receipt: Receipt
    typing: Typing
    data_extraction: DataExtraction
    unsend: Unsend
    message_request_response: MessageRequestResponse
    shared_config: SharedConfig
    expiration_type: Content.ExpirationType
    expiration_seconds: int
    sig_timestamp: int
    pro_message: ProMessage
    prosig_for_community: bytes
    def __init__(self, data_message: _Optional[_Union[DataMessage, _Mapping]] = ..., call: _Optional[_Union[CallMessage, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., typing: _Optional[_Union[Typing, _Mapping]] = ..., data_extraction: _Optional[_Union[DataExtraction, _Mapping]] = ..., unsend: _Optional[_Union[Unsend, _Mapping]] = ..., message_request_response: _Optional[_Union[MessageRequestResponse, _Mapping]] = ..., shared_config: _Optional[_Union[SharedConfig, _Mapping]] = ..., expiration_type: _Optional[_Union[Content.ExpirationType, str]] = ..., expiration_seconds: _Optional[int] = ..., sig_timestamp: _Optional[int] = ..., pro_message: _Optional[_Union[ProMessage, _Mapping]] = ..., prosig_for_community: _Optional[bytes] = ...) -> None: ...

class DataMessage(_message.Message):
    __slots__ = ("body", "attachments", "flags", "profile_key", "timestamp", "quote", "previews", "reaction", "profile", "community_invitation", "sync_target", "blocks_community_requests", "group_update")
    BODY_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_KEY_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    PREVIEWS_FIELD_NUMBER: _ClassVar[int]
    REACTION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    COMMUNITY_INVITATION_FIELD_NUMBER: _ClassVar[int]
    SYNC_TARGET_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_COMMUNITY_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    GROUP_UPDATE_FIELD_NUMBER: _ClassVar[int]
    body: str
    attachments: _containers.RepeatedCompositeFieldContainer[AttachmentPointer]
    flags: int
    profile_key: bytes
    timestamp: int
    quote: Quote
    previews: _containers.RepeatedCompositeFieldContainer[Preview]
    reaction: Reaction
    profile: Profile
    community_invitation: CommunityInvitation
    sync_target: str
    blocks_community_requests: bool
    group_update: GroupUpdate
    def __init__(self, body: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[AttachmentPointer, _Mapping]]] = ..., flags: _Optional[int] = ..., profile_key: _Optional[bytes] = ..., timestamp: _Optional[int] = ..., quote: _Optional[_Union[Quote, _Mapping]] = ..., previews: _Optional[_Iterable[_Union[Preview, _Mapping]]] = ..., reaction: _Optional[_Union[Reaction, _Mapping]] = ..., profile: _Optional[_Union[Profile, _Mapping]] = ..., community_invitation: _Optional[_Union[CommunityInvitation, _Mapping]] = ..., sync_target: _Optional[str] = ..., blocks_community_requests: bool = ..., group_update: _Optional[_Union[GroupUpdate, _Mapping]] = ...) -> None: ...

class AttachmentPointer(_message.Message):
    __slots__ = ("legacy_id", "content_type", "key", "size", "digest", "file_name", "flags", "width", "height", "caption", "url")
    LEGACY_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    legacy_id: int
    content_type: str
    key: bytes
    size: int
    digest: bytes
    file_name: str
    flags: int
    width: int
    height: int
    caption: str
    url: str
    def __init__(self, legacy_id: _Optional[int] = ..., content_type: _Optional[str] = ..., key: _Optional[bytes] = ..., size: _Optional[int] = ..., digest: _Optional[bytes] = ..., file_name: _Optional[str] = ..., flags: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., caption: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("id", "author")
    ID_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    id: int
    author: str
    def __init__(self, id: _Optional[int] = ..., author: _Optional[str] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("url", "title", "image")
    URL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    url: str
    title: str
    image: AttachmentPointer
    def __init__(self, url: _Optional[str] = ..., title: _Optional[str] = ..., image: _Optional[_Union[AttachmentPointer, _Mapping]] = ...) -> None: ...

class Reaction(_message.Message):
    __slots__ = ("id", "author", "emoji", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REACT: _ClassVar[Reaction.Action]
        REMOVE: _ClassVar[Reaction.Action]
    REACT: Reaction.Action
    REMOVE: Reaction.Action
    ID_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    EMOJI_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    id: int
    author: str
    emoji: str
    action: Reaction.Action
    def __init__(self, id: _Optional[int] = ..., author: _Optional[str] = ..., emoji: _Optional[str] = ..., action: _Optional[_Union[Reaction.Action, str]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("display_name", "picture_url", "updated")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PICTURE_URL_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    picture_url: str
    updated: int
    def __init__(self, display_name: _Optional[str] = ..., picture_url: _Optional[str] = ..., updated: _Optional[int] = ...) -> None: ...

class CommunityInvitation(_message.Message):
    __slots__ = ("url", "name")
    URL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    url: str
    name: str
    def __init__(self, url: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CallMessage(_message.Message):
    __slots__ = ("type", "sdps", "sdp_m_line_indexes", "sdp_mids", "uuid")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFER: _ClassVar[CallMessage.Type]
        ANSWER: _ClassVar[CallMessage.Type]
        PROVISIONAL_ANSWER: _ClassVar[CallMessage.Type]
        ICE_CANDIDATES: _ClassVar[CallMessage.Type]
        END_CALL: _ClassVar[CallMessage.Type]
        PRE_OFFER: _ClassVar[CallMessage.Type]
    OFFER: CallMessage.Type
    ANSWER: CallMessage.Type
    PROVISIONAL_ANSWER: CallMessage.Type
    ICE_CANDIDATES: CallMessage.Type
    END_CALL: CallMessage.Type
    PRE_OFFER: CallMessage.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SDPS_FIELD_NUMBER: _ClassVar[int]
    SDP_M_LINE_INDEXES_FIELD_NUMBER: _ClassVar[int]
    SDP_MIDS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    type: CallMessage.Type
    sdps: _containers.RepeatedScalarFieldContainer[str]
    sdp_m_line_indexes: _containers.RepeatedScalarFieldContainer[int]
    sdp_mids: _containers.RepeatedScalarFieldContainer[str]
    uuid: str
    def __init__(self, type: _Optional[_Union[CallMessage.Type, str]] = ..., sdps: _Optional[_Iterable[str]] = ..., sdp_m_line_indexes: _Optional[_Iterable[int]] = ..., sdp_mids: _Optional[_Iterable[str]] = ..., uuid: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("type", "timestamps")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DELIVERY: _ClassVar[Receipt.Type]
        READ: _ClassVar[Receipt.Type]
    DELIVERY: Receipt.Type
    READ: Receipt.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    type: Receipt.Type
    timestamps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, type: _Optional[_Union[Receipt.Type, str]] = ..., timestamps: _Optional[_Iterable[int]] = ...) -> None: ...

class Typing(_message.Message):
    __slots__ = ("timestamp", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STARTED: _ClassVar[Typing.Action]
        STOPPED: _ClassVar[Typing.Action]
    STARTED: Typing.Action
    STOPPED: Typing.Action
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    action: Typing.Action
    def __init__(self, timestamp: _Optional[int] = ..., action: _Optional[_Union[Typing.Action, str]] = ...) -> None: ...

class DataExtraction(_message.Message):
    __slots__ = ("type", "timestamp")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCREENSHOT: _ClassVar[DataExtraction.Type]
        MEDIA_SAVED: _ClassVar[DataExtraction.Type]
    SCREENSHOT: DataExtraction.Type
    MEDIA_SAVED: DataExtraction.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    type: DataExtraction.Type
    timestamp: int
    def __init__(self, type: _Optional[_Union[DataExtraction.Type, str]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class Unsend(_message.Message):
    __slots__ = ("timestamp", "author")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    author: str
    def __init__(self, timestamp: _Optional[int] = ..., author: _Optional[str] = ...) -> None: ...

class MessageRequestResponse(_message.Message):
    __slots__ = ("is_approved", "profile_key", "profile")
    IS_APPROVED_FIELD_NUMBER: _ClassVar[int]
    PROFILE_KEY_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    is_approved: bool
    profile_key: bytes
    profile: Profile
    def __init__(self, is_approved: bool = ..., profile_key: _Optional[bytes] = ..., profile: _Optional[_Union[Profile, _Mapping]] = ...) -> None: ...

class SharedConfig(_message.Message):
    __slots__ = ("kind", "seqno", "data")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        USER_PROFILE: _ClassVar[SharedConfig.Kind]
        CONTACTS: _ClassVar[SharedConfig.Kind]
        CONVO_INFO_VOLATILE: _ClassVar[SharedConfig.Kind]
        USER_GROUPS: _ClassVar[SharedConfig.Kind]
    USER_PROFILE: SharedConfig.Kind
    CONTACTS: SharedConfig.Kind
    CONVO_INFO_VOLATILE: SharedConfig.Kind
    USER_GROUPS: SharedConfig.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEQNO_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    kind: SharedConfig.Kind
    seqno: int
    data: bytes
    def __init__(self, kind: _Optional[_Union[SharedConfig.Kind, str]] = ..., seqno: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ProMessage(_message.Message):
    __slots__ = ("proof", "profile_bitset", "message_bitset")
    PROOF_FIELD_NUMBER: _ClassVar[int]
    PROFILE_BITSET_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BITSET_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    profile_bitset: int
    message_bitset: int
    def __init__(self, proof: _Optional[bytes] = ..., profile_bitset: _Optional[int] = ..., message_bitset: _Optional[int] = ...) -> None: ...

class GroupUpdate(_message.Message):
    __slots__ = ("invite", "info_change", "member_change", "promote", "member_left", "invite_response", "delete_member_content", "member_left_notification")
    INVITE_FIELD_NUMBER: _ClassVar[int]
    INFO_CHANGE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_CHANGE_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_LEFT_FIELD_NUMBER: _ClassVar[int]
    INVITE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    DELETE_MEMBER_CONTENT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_LEFT_NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    invite: GroupInvite
    info_change: GroupInfoChange
    member_change: GroupMemberChange
    promote: GroupPromote
    member_left: GroupMemberLeft
    invite_response: GroupInviteResponse
    delete_member_content: GroupDeleteMemberContent
    member_left_notification: GroupMemberLeft
    def __init__(self, invite: _Optional[_Union[GroupInvite, _Mapping]] = ..., info_change: _Optional[_Union[GroupInfoChange, _Mapping]] = ..., member_change: _Optional[_Union[GroupMemberChange, _Mapping]] = ..., promote: _Optional[_Union[GroupPromote, _Mapping]] = ..., member_left: _Optional[_Union[GroupMemberLeft, _Mapping]] = ..., invite_response: _Optional[_Union[GroupInviteResponse, _Mapping]] = ..., delete_member_content: _Optional[_Union[GroupDeleteMemberContent, _Mapping]] = ..., member_left_notification: _Optional[_Union[GroupMemberLeft, _Mapping]] = ...) -> None: ...

class GroupInvite(_message.Message):
    __slots__ = ("group_session_id", "name", "member_auth_data", "admin_signature")
    GROUP_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMBER_AUTH_DATA_FIELD_NUMBER: _ClassVar[int]
    ADMIN_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    group_session_id: str
    name: str
    member_auth_data: bytes
    admin_signature: bytes
    def __init__(self, group_session_id: _Optional[str] = ..., name: _Optional[str] = ..., member_auth_data: _Optional[bytes] = ..., admin_signature: _Optional[bytes] = ...) -> None: ...

class GroupPromote(_message.Message):
    __slots__ = ("group_identity_seed", "name")
    GROUP_IDENTITY_SEED_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    group_identity_seed: bytes
    name: str
    def __init__(self, group_identity_seed: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class GroupInfoChange(_message.Message):
    __slots__ = ("type", "updated_name", "updated_expiration", "admin_signature")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NAME: _ClassVar[GroupInfoChange.Type]
        AVATAR: _ClassVar[GroupInfoChange.Type]
        DISAPPEARING_MESSAGES: _ClassVar[GroupInfoChange.Type]
    NAME: GroupInfoChange.Type
    AVATAR: GroupInfoChange.Type
    DISAPPEARING_MESSAGES: GroupInfoChange.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_NAME_FIELD_NUMBER: _ClassVar[int]
    UPDATED_EXPIRATION_FIELD_NUMBER: _ClassVar[int]
    ADMIN_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    type: GroupInfoChange.Type
    updated_name: str
    updated_expiration: int
    admin_signature: bytes
    def __init__(self, type: _Optional[_Union[GroupInfoChange.Type, str]] = ..., updated_name: _Optional[str] = ..., updated_expiration: _Optional[int] = ..., admin_signature: _Optional[bytes] = ...) -> None: ...

class GroupMemberChange(_message.Message):
    __slots__ = ("type", "member_session_ids", "history_shared", "admin_signature")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ADDED: _ClassVar[GroupMemberChange.Type]
        REMOVED: _ClassVar[GroupMemberChange.Type]
        PROMOTED: _ClassVar[GroupMemberChange.Type]
    ADDED: GroupMemberChange.Type
    REMOVED: GroupMemberChange.Type
    PROMOTED: GroupMemberChange.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_SESSION_IDS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_SHARED_FIELD_NUMBER: _ClassVar[int]
    ADMIN_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    type: GroupMemberChange.Type
    member_session_ids: _containers.RepeatedScalarFieldContainer[str]
    history_shared: bool
    admin_signature: bytes
    def __init__(self, type: _Optional[_Union[GroupMemberChange.Type, str]] = ..., member_session_ids: _Optional[_Iterable[str]] = ..., history_shared: bool = ..., admin_signature: _Optional[bytes] = ...) -> None: ...

class GroupMemberLeft(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GroupInviteResponse(_message.Message):
    __slots__ = ("is_approved",)
    IS_APPROVED_FIELD_NUMBER: _ClassVar[int]
    is_approved: bool
    def __init__(self, is_approved: bool = ...) -> None: ...

class GroupDeleteMemberContent(_message.Message):
    __slots__ = ("member_session_ids", "message_hashes", "admin_signature")
    MEMBER_SESSION_IDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_HASHES_FIELD_NUMBER: _ClassVar[int]
    ADMIN_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    member_session_ids: _containers.RepeatedScalarFieldContainer[str]
    message_hashes: _containers.RepeatedScalarFieldContainer[str]
    admin_signature: bytes
    def __init__(self, member_session_ids: _Optional[_Iterable[str]] = ..., message_hashes: _Optional[_Iterable[str]] = ..., admin_signature: _Optional[bytes] = ...) -> None: ...
