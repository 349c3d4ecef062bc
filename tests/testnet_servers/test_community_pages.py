"""The pages that browsers see (open-group-server §19), over real sockets and without a browser."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.community.web.user_text import visible_line, visible_text
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec

SEED = bytes(range(32))
ROOMS = (RoomSpec("lobby", "Lobby", "A place to wait"), RoomSpec("Annex", ""))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
VOID = {"meta", "link", "img", "br"}
NO_REPEATS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def server(clock, trace):
    server = CommunityServer(SEED, clock=clock, trace=trace, rooms=ROOMS, rate_limit=False)
    yield server
    server.close()


@pytest.fixture
def served(serve, server):
    return serve(server)


@pytest.fixture
def alice(poster, server, served):
    return poster("alice", server, served)


class Page(HTMLParser):
    """A page taken apart: elements in order, and the text inside each."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self._open = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attributes": dict(attrs), "text": ""}
        assert len(attrs) == len(element["attributes"]), f"an attribute comes twice: {attrs}"
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def of(self, name):
        """Return the elements of a class or tag."""
        return [
            element
            for element in self.elements
            if name == element["tag"] or name in element["attributes"].get("class", "").split()
        ]

    def text(self, name):
        (element,) = self.of(name)
        return element["text"]

    @property
    def form(self):
        """What the page is made of, apart from texts: tags, and names of attributes."""
        return [(element["tag"], tuple(element["attributes"])) for element in self.elements]


def ask(server, target, host="127.0.0.1:80"):
    return server.handle(ServiceRequest.from_target("GET", target, {"host": host}))


def page_of(answer, status=200):
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.body.decode())


def join_target(server):
    return f"/lobby?public_key={server.public_key}"


class TestRoomPage:
    @pytest.mark.parametrize("form", ["join", "viewer"])
    def test_a_room_at_both_of_its_addresses(self, served, server, alice, form):
        alice.say("Hello <b>all</b>", profile={"display_name": "Alice & Co"})
        target = join_target(server) if form == "join" else "/r/lobby/"
        page = page_of(served.request("GET", target))
        assert page.text("h1") == "Lobby"
        assert page.text("description") == "A place to wait"
        assert bodies(page) == ["Hello <b>all</b>"]
        assert page.text("name") == "Alice & Co"
        (shown_id,) = page.of("id")
        assert shown_id["attributes"]["title"] == alice.id
        assert shown_id["text"] == f"{alice.id[:6]}…{alice.id[-4:]}"
        (time,) = page.of("time")
        assert time["attributes"]["datetime"] == "2025-10-09T08:53:20Z"
        assert page.text("url") == f"http://127.0.0.1:{served.port}{join_target(server)}"
        assert not page.of("edited")
        assert not page.of("alarm")
        assert not page.of("unsigned")

    def test_tokens_have_no_case_and_rooms_without_a_name_have_their_token(self, served):
        page = page_of(served.request("GET", "/r/ANNEX/"))
        assert page.text("h1") == "Annex"
        assert page.text("url").startswith(f"http://127.0.0.1:{served.port}/Annex?")

    def test_a_link_with_another_servers_key_is_told(self, served):
        page = page_of(served.request("GET", f"/lobby?public_key={'00' * 32}"))
        assert "not the key of this server" in page.text("alarm")

    def test_without_a_final_slash_it_leads_to_the_page(self, served):
        answer = served.request("GET", "/r/lobby")
        assert (answer.status, answer.headers["location"]) == (308, "/r/lobby/")

    def test_newest_first_and_edits_marked(self, served, alice):
        first, second = alice.say("one"), alice.say("two")
        alice.edit(first, "one, better")
        page = page_of(served.request("GET", "/r/lobby/"))
        assert [item["attributes"]["data-id"] for item in page.of("message")] == [str(second), str(first)]
        assert bodies(page) == ["two", "one, better"]
        assert len(page.of("edited")) == 1

    def test_deleted_messages_and_whispers_are_not_shown(self, server, served, alice):
        alice.delete(alice.say("gone"))
        server.give_role(Role(alice.id, admin=True))
        alice._send("POST", "/room/lobby/message", {**alice._signed("psst", {}), "whisper_mods": True})
        answer = served.request("GET", "/r/lobby/")
        assert not page_of(answer).of("message")
        assert "There are no messages yet." in answer.text

    def test_a_message_that_its_author_did_not_sign_is_marked(self, served, alice):
        alice.say("forged", signature=bytes(64))
        assert "apps do not show" in page_of(served.request("GET", "/r/lobby/")).text("unsigned")

    def test_pages_of_older_messages_hold_each_message_once(self, served, alice):
        sent = [alice.say(f"message {number}") for number in range(103)]
        target, found = "/r/lobby/", []
        while target:
            page = page_of(served.request("GET", target))
            found.append([int(item["attributes"]["data-id"]) for item in page.of("message")])
            older = [item for item in page.of("a") if item["attributes"].get("id") == "older"]
            target = older[0]["attributes"]["href"] if older else None
        assert [len(part) for part in found] == [50, 50, 3]
        assert [number for part in found for number in part] == sent[::-1]

    @pytest.mark.parametrize("value", ["x", "-1", "", "1e3", "9" * 19, "٣"])
    def test_a_page_of_older_messages_needs_a_number(self, server, value):
        assert ask(server, f"/r/lobby/?before={value}").status == 400

    @pytest.mark.parametrize("host", ["", "a b", "x/y", 'x"y', "x<y>", "a@b", "[::1", "x" * 300, "x:123456"])
    def test_a_host_that_is_none_is_refused(self, server, host):
        for target in ("/", "/r/lobby/", join_target(server), "/r/lobby/invite.png"):
            assert ask(server, target, host).status == 400

    @pytest.mark.parametrize("host", ["127.0.0.1:22021", "open.example", "[::1]:80"])
    def test_the_join_url_names_the_host_that_was_asked(self, server, host):
        page = page_of(ask(server, "/r/lobby/", host))
        assert page.text("url") == server.join_url(f"http://{host}", "lobby")


class TestWhoSeesWhat:
    @pytest.mark.parametrize("target", ["/r/nowhere/", f"/nowhere?public_key={'0' * 64}"])
    def test_an_unknown_room_has_a_page_that_says_so(self, served, target):
        page = page_of(served.request("GET", target), 404)
        assert page.text("h1") == "There is nothing here"

    @pytest.mark.parametrize("target", ["/nowhere", "/r/", "/r/lobby/more", "/static/x", "/favicon.ico"])
    def test_other_paths_are_not_found(self, served, target):
        assert served.request("GET", target).status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("target", ["/lobby", "/r/lobby/", "/"])
    def test_there_is_nothing_to_do_but_to_look(self, served, method, target):
        assert served.request(method, target).status == 404

    def test_a_room_for_members_shows_how_to_join_and_no_message(self, served, server, alice):
        alice.say("a secret")
        server._database.execute("UPDATE rooms SET read = 0 WHERE token = 'lobby'")
        for target in ("/r/lobby/", join_target(server)):
            answer = served.request("GET", target)
            page = page_of(answer, 403)
            assert page.text("h1") == "Lobby"
            assert page.of("url")
            assert "secret" not in answer.text
        assert served.request("GET", "/r/lobby/updates?since=0").status == 403
        assert "for members only" in served.request("GET", "/").text

    def test_a_hidden_room_says_nothing_of_itself(self, served, server, alice):
        alice.say("a secret")
        server._database.execute("UPDATE rooms SET read = 0, accessible = 0 WHERE token = 'lobby'")
        for target in ("/r/lobby/", join_target(server)):
            answer = served.request("GET", target)
            assert page_of(answer, 403).text("h1") == "This room is closed"
            assert "Lobby" not in answer.text
            assert "secret" not in answer.text
        assert served.request("GET", "/r/lobby/invite.png").status == 404
        assert "Lobby" not in served.request("GET", "/").text

    def test_who_signs_sees_what_strangers_see(self, server, served, signer):
        server._database.execute("UPDATE rooms SET read = 0 WHERE token = 'lobby'")
        admin = signer("root", server, "blinded15")
        served.request("GET", "/rooms", admin.headers("GET", "/rooms"))
        server.give_role(Role(admin.account.account_id, admin=True))
        assert served.request("GET", "/r/lobby/", admin.headers("GET", "/r/lobby/")).status == 403

    def test_looking_does_not_count_as_activity(self, served, server):
        served.request("GET", "/r/lobby/")
        assert server._database.execute("SELECT COUNT(*) FROM room_activity").fetchone()[0] == 0

    def test_the_interface_comes_before_rooms_of_the_same_name(self, clock, trace, serve):
        tokens = ("rooms", "capabilities", "batch", "sequence")
        rooms = tuple(RoomSpec(token, f"Room {token}") for token in tokens)
        server = CommunityServer(SEED, clock=clock, trace=trace, rooms=rooms)
        served = serve(server)
        assert served.request("GET", "/rooms").headers["content-type"] == "application/json"
        assert (
            served.request("GET", "/capabilities?public_key=x").headers["content-type"] == "application/json"
        )
        assert served.request("GET", "/batch").status == 405
        for token in tokens:
            assert page_of(served.request("GET", f"/r/{token}/")).text("h1") == f"Room {token}"

    def test_pages_come_through_batches_and_onions_too(self, served, server):
        answer = served.onion("GET", "/r/lobby/", {"Host": "127.0.0.1:1"})
        assert page_of(answer).text("h1") == "Lobby"
        # A request inside an onion need not name a host.
        assert served.onion("GET", "/r/lobby/").status == 400


class TestIndex:
    def test_rooms_are_listed_with_their_pages(self, served):
        page = page_of(served.request("GET", "/"))
        titles = [item["text"] for item in page.of("h2")]
        assert titles == ["Annex", "Lobby"]
        links = [item["attributes"]["href"] for item in page.of("a")]
        assert links == ["/r/Annex/", "/r/lobby/"]

    def test_a_server_without_rooms_says_so(self, clock, trace, serve):
        served = serve(CommunityServer(SEED, clock=clock, trace=trace))
        assert "no room here" in page_of(served.request("GET", "/")).text("alarm")


class TestPolicy:
    @pytest.mark.parametrize("target", ["/", "/r/lobby/", "/r/nowhere/", "/lobby?public_key=x"])
    def test_nothing_foreign_and_no_other_script(self, served, target):
        answer = served.request("GET", target)
        policy = dict(
            directive.split(" ", 1) for directive in answer.headers["content-security-policy"].split("; ")
        )
        page = Page(answer.text)
        assert policy == {
            "default-src": "'none'",
            "script-src": f"'{digest(page.text('script'))}'",
            "style-src": f"'{digest(page.text('style'))}'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        for element in page.elements:
            names = element["attributes"]
            assert not [name for name in names if name.startswith("on") or name == "style"]
            for name in ("src", "href"):
                assert re.match(r"/(?!/)|#|data:image/svg|$", names.get(name, "")), names

    def test_head_is_answered(self, served):
        answer = served.request("HEAD", "/r/lobby/")
        assert (answer.status, answer.body) == (200, b"")


def bodies(page):
    """The words of the messages; the element <body> is none of them."""
    return [item["text"] for item in page.of("body") if item["tag"] == "div"]


def digest(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# What people write: anything, and what attacks are made of.
SHARP = [
    *(
        "<script>alert(1)</script>",
        "</div>",
        "</style>",
        "<!--",
        "-->",
        "]]>",
        "<img src=x onerror=alert(1)>",
    ),
    *(
        '"',
        "'",
        "`",
        "&",
        "&lt;",
        "&#60;",
        "{{7*7}}",
        "{% raw %}",
        "javascript:alert(1)",
        "\x00",
        "\r\n",
        "\n",
    ),
    *("\u202e", "\u2028", "\x1b[2J", " ", "=", "/", ">", "<", "https://a.example/?a=1&b=2"),
]
WRITTEN = st.text(max_size=60) | st.lists(st.sampled_from(SHARP), min_size=1, max_size=8).map("".join)


LINK = ("a", ("href", "rel"))


def test_whatever_people_write_stays_text(server, served, alice):
    harmless = {
        "body": "word",
        "profile": {"display_name": "word"},
        "attachments": [{"url": "http://x/1", "file_name": "word", "content_type": "word"}],
        "preview": [{"url": "word", "title": "word"}],
        "quote": {"timestamp_ms": 1, "author": "word"},
    }
    message_id = alice.say(**harmless)
    plain = page_of(ask(server, "/r/lobby/"))

    @NO_REPEATS
    @given(*[WRITTEN.filter(lambda text: visible_line(text) != "")] * 7)
    def check(room, about, words, author, file, link, quoted):
        server._database.execute(
            "UPDATE rooms SET name = ?, description = ? WHERE token = 'lobby'", (room, about)
        )
        content = {
            "body": words,
            "profile": {"display_name": author},
            "attachments": [{"url": words, "file_name": file, "content_type": file}],
            "preview": [{"url": words.replace("http", "hxxp"), "title": link}],
            "quote": {"timestamp_ms": 1, "author": quoted},
        }
        stored = alice._signed(None, {"kind": "text", **content})
        server._database.execute(
            "UPDATE posts SET data = ?, signature = ? WHERE id = ?",
            (base64.b64decode(stored["data"]), base64.b64decode(stored["signature"]), message_id),
        )
        answer = ask(server, "/r/lobby/")
        page = page_of(answer)
        links = [item for item in page.of("a") if "rel" in item["attributes"]]
        assert all(item["attributes"]["href"].startswith("https://a.example/") for item in links)
        assert all("nofollow" in item["attributes"]["rel"] for item in links)
        # Not an element, nor an attribute, more or less than with harmless words, but for links.
        assert [part for part in page.form if part != LINK] == plain.form
        assert page.text("h1") == visible_line(room)
        assert page.text("description") == visible_text(about, 2000)
        assert bodies(page) == [visible_text(words)]
        assert page.text("name") == visible_line(author)
        assert [item["text"] for item in page.of("title")] == [visible_line(room)]
        (fragment,) = orjson.loads(ask(server, "/r/lobby/updates?since=0").body)["messages"]
        assert fragment["html"] in answer.body.decode()

    check()


class TestUpdates:
    def news(self, served, since, info=0):
        answer = served.request("GET", f"/r/lobby/updates?since={since}&info={info}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    def test_nothing_is_new(self, served, alice):
        alice.say("one")
        assert self.news(served, 1) == {"seqno": 1, "info_updates": 0, "more": False, "messages": []}

    def test_new_changed_and_deleted_messages(self, served, alice):
        kept, gone = alice.say("kept"), alice.say("gone")
        new = alice.say("new")
        alice.edit(kept, "changed")
        alice.delete(gone)
        found = self.news(served, 2)
        assert (found["seqno"], found["more"]) == (5, False)
        assert [(item["id"], item.get("deleted")) for item in found["messages"]] == [
            (new, None),
            (kept, None),
            (gone, True),
        ]
        changed = Page(found["messages"][1]["html"])
        assert changed.text("body") == "changed"
        assert changed.of("edited")
        assert changed.form[0] == ("li", ("class", "id", "data-id"))

    def test_what_was_never_shown_is_not_reported_deleted(self, served, alice):
        alice.delete(alice.say("gone"))
        assert self.news(served, 0)["messages"] == []

    def test_an_answer_quotes_what_came_before(self, served, alice):
        first = alice.say("What is it?", timestamp_ms=9)
        alice.say("A room.", quote={"timestamp_ms": 9, "author": alice.id})
        (item,) = self.news(served, 1)["messages"]
        (quote,) = Page(item["html"]).of("blockquote")
        assert quote["attributes"]["data-of"] == str(first)
        assert "What is it?" in quote["text"]

    def test_many_changes_come_in_parts(self, served, alice):
        sent = [alice.say(str(number)) for number in range(103)]
        first = self.news(served, 0)
        assert (first["seqno"], first["more"], len(first["messages"])) == (100, True, 100)
        rest = self.news(served, first["seqno"])
        assert (rest["seqno"], rest["more"]) == (103, False)
        assert [item["id"] for part in (first, rest) for item in part["messages"]] == sent

    def test_the_heading_comes_when_the_room_has_changed(self, served, server, alice):
        assert "heading" not in self.news(served, 0)
        server._database.execute("UPDATE rooms SET name = '<i>New</i>', info_updates = 1")
        found = self.news(served, 0)
        assert found["info_updates"] == 1
        assert Page(found["heading"]).text("h1") == "<i>New</i>"
        assert "heading" not in self.news(served, 0, info=1)

    @pytest.mark.parametrize(
        "query", ["", "?since=", "?since=x", "?since=-1", "?since=1.5", "?since=0&info=x"]
    )
    def test_the_question_needs_numbers(self, served, query):
        assert served.request("GET", f"/r/lobby/updates{query}").status == 400

    def test_an_unknown_room_is_not_found(self, served):
        assert served.request("GET", "/r/nowhere/updates?since=0").status == 404


class TestPicturesAndReactions:
    @pytest.mark.parametrize(
        ("body", "media_type"),
        [
            (PNG, "image/png"),
            (b"GIF89a" + bytes(9), "image/gif"),
            (b"<svg onload=alert(1)>", None),
            (b"", None),
        ],
    )
    def test_a_rooms_picture_is_shown_when_browsers_can_show_it_safely(
        self, server, alice, served, body, media_type
    ):
        server.give_role(Role(alice.id, "lobby", admin=True))
        file_id = alice.upload(body)
        assert alice.do("PUT", "/room/lobby", {"image": file_id})["info_updates"] == 2
        for target in ("/", "/r/lobby/"):
            sources = [item["attributes"]["src"] for item in page_of(served.request("GET", target)).of("img")]
            assert sources == ([f"/r/lobby/image?{file_id}"] if media_type else [])
        answer = served.request("GET", f"/r/lobby/image?{file_id}")
        if media_type is None:
            assert answer.status == 404
        else:
            assert (answer.status, answer.headers["content-type"], answer.body) == (200, media_type, body)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"

    def test_a_room_without_a_picture_shows_none(self, served):
        assert not page_of(served.request("GET", "/r/lobby/")).of("img")
        assert served.request("GET", "/r/lobby/image").status == 404

    def test_a_picture_that_has_gone_from_the_disk_is_not_shown(self, clock, trace, serve, poster, tmp_path):
        server = CommunityServer(SEED, clock=clock, trace=trace, rooms=ROOMS, directory=tmp_path)
        served = serve(server)
        alice = poster("alice", server, served)
        server.give_role(Role(alice.id, "lobby", admin=True))
        alice.do("PUT", "/room/lobby", {"image": alice.upload(PNG)})
        assert page_of(served.request("GET", "/r/lobby/")).of("img")
        (file,) = [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
        file.unlink()
        assert not page_of(served.request("GET", "/r/lobby/")).of("img")
        assert served.request("GET", "/r/lobby/image").status == 404

    def test_the_invitation_is_a_picture(self, served):
        answer = served.request("GET", "/r/lobby/invite.png")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert answer.body.startswith(PNG[:8])
        assert int.from_bytes(answer.body[16:20], "big") >= 512
        assert served.request("GET", "/r/nowhere/invite.png").status == 404

    def test_reactions_are_shown_and_their_changes_told(self, server, alice, poster, served):
        message_id, bob = alice.say("hello"), poster("bob", server, served)
        for who, emoji in ((alice, "👍"), (alice, "<b>"), (bob, "👍")):
            who.react(message_id, emoji)
        assert page_of(served.request("GET", "/r/lobby/")).text("reactions").split() == [
            "👍",
            "2",
            "<b>",
            "1",
        ]

        def told(since):
            (item,) = served.request("GET", f"/r/lobby/updates?since={since}").json()["messages"]
            return Page(item["html"])

        assert told(1).text("reactions").split() == ["👍", "2", "<b>", "1"]
        alice.react(message_id, "👍", add=False)
        assert told(4).text("reactions").split() == ["👍", "1", "<b>", "1"]
        server.give_role(Role(alice.id, "lobby", admin=True))
        assert alice.do("DELETE", f"/room/lobby/reactions/{message_id}")["removed"] == 2
        assert not told(5).of("reactions")
        assert not page_of(served.request("GET", "/r/lobby/")).of("reactions")


class TestModeration:
    """What moderators do, over the routes that apps use."""

    @pytest.fixture
    def admin(self, server, served, poster):
        admin = poster("admin", server, served)
        server.give_role(Role(admin.id, "lobby", admin=True))
        return admin

    def everything_seen(self, served):
        """All that a stranger gets to read of the room, of whatever page."""
        paths = ["/", "/r/lobby/", "/r/lobby/?before=999", "/r/lobby/updates?since=0", "/r/Annex/"]
        return "".join(served.request("GET", path).text for path in paths)

    def test_whispers_are_nowhere_on_the_page_whatever_becomes_of_them(self, served, admin, alice, server):
        alice.say("in the open")
        whispers = [
            admin.do("POST", "/room/lobby/message", {**admin._signed("hush one", {}), **to})["id"]
            for to in ({"whisper_to": alice.id}, {"whisper_mods": True})
        ]
        whispers.append(
            admin.do(
                "POST",
                "/room/lobby/message",
                {**admin._signed("hush two", {}), "whisper_to": alice.id, "whisper_mods": True},
            )["id"]
        )
        # Those who may see them do.
        seen = alice.signer.ask(server, "GET", "/room/lobby/messages/recent").json()
        assert {post["id"] for post in seen} >= {whispers[0], whispers[2]}
        admin.edit(whispers[0], "hush edited")
        admin.delete(whispers[1])
        for target in (f"pin/{whispers[0]}", f"pin/{whispers[2]}"):
            answer = admin.signer.ask(server, "POST", f"/room/lobby/{target}")
            assert answer.status == 404
        text = self.everything_seen(served)
        assert "hush" not in text
        assert "in the open" in text
        news = served.request("GET", "/r/lobby/updates?since=0").json()
        assert not {item["id"] for item in news["messages"]} & set(whispers)
        assert admin.id not in text

    def test_a_pin_is_news_of_the_room_and_changes_no_message(self, served, admin, alice):
        first, second = alice.say("one"), alice.say("two")
        before = served.request("GET", "/r/lobby/updates?since=2&info=1").json()
        assert (before["info_updates"], "heading" in before) == (1, False)
        assert admin.do("POST", f"/room/lobby/pin/{first}") == {"info_updates": 2}
        news = served.request("GET", "/r/lobby/updates?since=2&info=1").json()
        assert (news["info_updates"], news["seqno"], news["messages"]) == (2, 2, [])
        assert "heading" in news
        page = page_of(served.request("GET", "/r/lobby/"))
        assert bodies(page) == ["two", "one"]
        admin.delete(first)
        page = page_of(served.request("GET", "/r/lobby/"))
        assert [item["attributes"]["data-id"] for item in page.of("message")] == [str(second)]
        assert admin.do("POST", "/room/lobby/unpin/all") == {"unpinned": 0, "info_updates": 3}

    def test_the_heading_is_what_an_admin_makes_it(self, served, admin):
        changes = {"name": "<i>Salon</i>", "description": "For\n<b>all</b>"}
        updates = admin.do("PUT", "/room/lobby", changes)["info_updates"]
        news = served.request("GET", "/r/lobby/updates?since=0&info=1").json()
        assert news["info_updates"] == updates
        assert Page(news["heading"]).text("h1") == "<i>Salon</i>"
        page = page_of(served.request("GET", "/r/lobby/"))
        assert (page.text("h1"), page.text("description")) == ("<i>Salon</i>", "For\n<b>all</b>")

    def test_a_ban_keeps_what_was_said_until_it_is_deleted_too(self, served, admin, alice, server):
        kept, spam = alice.say("kept", "Annex"), [alice.say(f"spam {number}") for number in range(3)]
        admin.do("POST", f"/user/{alice.id}/ban", {"rooms": ["lobby"]})
        refused = alice.signer.ask(server, "POST", "/room/lobby/message", alice._signed("more", {}))
        assert refused.status == 403
        assert len(bodies(page_of(served.request("GET", "/r/lobby/")))) == 3
        admin.do("DELETE", f"/room/lobby/all/{alice.id}")
        assert bodies(page_of(served.request("GET", "/r/lobby/"))) == []
        news = served.request("GET", "/r/lobby/updates?since=3").json()["messages"]
        assert news == [{"id": number, "deleted": True} for number in spam]
        assert "spam" not in self.everything_seen(served)
        annex = page_of(served.request("GET", "/r/Annex/"))
        assert [item["attributes"]["data-id"] for item in annex.of("message")] == [str(kept)]

    def test_a_room_that_an_admin_closes_is_closed_to_strangers_at_once(self, served, admin, alice):
        alice.say("a secret")
        admin.do("PUT", "/room/lobby", {"default_read": False})
        assert "secret" not in self.everything_seen(served)
        page = page_of(served.request("GET", "/r/lobby/"), 403)
        assert page.text("h1") == "Lobby"
        admin.do("PUT", "/room/lobby", {"default_accessible": False})
        assert page_of(served.request("GET", "/r/lobby/"), 403).text("h1") == "This room is closed"
        admin.do("PUT", "/room/lobby", {"default_read": True})
        assert bodies(page_of(served.request("GET", "/r/lobby/"))) == ["a secret"]
