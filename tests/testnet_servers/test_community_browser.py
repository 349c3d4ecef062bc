"""The room page in a real browser: it renders, stays up to date, reads without scripts, runs no others."""

import os
import re
import shutil

import pytest
import zxingcpp
from playwright.sync_api import expect, sync_playwright

from session_testnet.services.community import CommunityServer, Role
from session_testnet.topology import RoomSpec

pytestmark = pytest.mark.browser

SEED = bytes(range(32))
ROOMS = (RoomSpec("lobby", "The lobby", "A place to wait"), RoomSpec("annex", "Annex"))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PERIOD_MS = 3000
PHONE, SMALL_PHONE, DESKTOP = (390, 844), (320, 640), (1280, 860)

# Every way that we know to run something, each of which would say so.
ATTACKS = (
    "<script>window.hit='script'</script>",
    "<img src=x onerror=\"window.hit='onerror'\">",
    "<svg onload=\"window.hit='onload'\"><script>window.hit='svg'</script></svg>",
    "<iframe srcdoc=\"<script>parent.hit='srcdoc'</script>\"></iframe>",
    "<a href=\"javascript:window.hit='link'\">click</a>",
    '" onmouseover="window.hit=\'quoted\'" autofocus onfocus="window.hit=\'focus\'" x="',
    "' onpointerenter='window.hit=1' x='",
    "</div></li></ol></script></style></title><script>window.hit='closed'</script>",
    "--><script>window.hit='comment'</script><!--",
    "javascript:window.hit='bare'",
    "https://a.example/\"onclick=\"window.hit='address'",
    "<meta http-equiv=refresh content=\"0;url=javascript:window.hit='refresh'\">",
    "<base href=https://evil.example/><form action=https://evil.example/><button>x</button></form>",
    "<link rel=stylesheet href=https://evil.example/x.css><style>@import 'https://evil.example/y.css'</style>",
    "{{7*7}}{% raw %}",
)
EVERYTHING = " ".join(ATTACKS)

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

# The page waits for one thing at a time: its next question to the server, which comes when a test says so.
FREEZE = """
{
  const realTimeout = window.setTimeout.bind(window);
  let wake;
  const sleep = () => {
    const asleep = new Promise((resolve, reject) => {
      wake = resolve;
      realTimeout(() => reject(new Error("the page did not come to wait again within 15 s")), 15000);
    });
    asleep.catch(() => {});
    window.asleep = asleep;
  };
  sleep();
  window.waiting = null;
  window.setTimeout = (work, milliseconds) => { window.waiting = { work, milliseconds }; wake(); return 1; };
  window.clearTimeout = () => { window.waiting = null; };
  window.elapse = () => { const { work } = window.waiting; window.waiting = null; sleep(); work(); };
}
"""


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing = f"no Chromium: none of {', '.join(NAMES)} is on PATH, and CHROMIUM names none"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    # As root, as in many containers, Chromium has no sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open pages that must stay silent: no message in the console, no dialog, no request to elsewhere."""
    contexts, heard = [], []

    def open_one(url, *, size=DESKTOP, frozen=False, expected=(), **options):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, timezone_id="UTC", locale="en-GB", **options
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        origin = re.match(r"http://[^/]+/", url)[0]

        def hear(kind, text):
            if not any(part in text for part in expected):
                heard.append(f"{kind}: {text}")

        page.on("console", lambda message: hear("console", message.text))
        page.on("pageerror", lambda error: hear("error", str(error)))
        page.on("dialog", lambda dialog: (hear("dialog", dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: request.url.startswith((origin, "data:")) or hear("request", request.url),
        )
        page.add_init_script(WATCH)
        if frozen:
            page.add_init_script(FREEZE)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert heard == []


@pytest.fixture
def server(clock, trace):
    return CommunityServer(SEED, clock=clock, trace=trace, rooms=ROOMS, rate_limit=False)


@pytest.fixture
def served(serve, server):
    return serve(server)


@pytest.fixture
def alice(poster, server, served):
    return poster("alice", server, served)


@pytest.fixture
def join_url(server, served):
    return server.join_url(f"http://127.0.0.1:{served.port}", "lobby")


def texts(page):
    return page.locator(".messages .body").all_inner_texts()


def next_poll(page, after_ms=PERIOD_MS):
    """Let the page ask the server once more, and return when it has taken in the answer and waits again."""
    page.evaluate("window.asleep")
    assert page.evaluate("window.waiting.milliseconds") == after_ms
    page.evaluate("() => { window.elapse(); return window.asleep; }")


class TestReading:
    def test_the_join_url_shows_the_room(self, open_page, join_url, alice):
        alice.say("first", profile={"display_name": "Alice"})
        alice.say("see https://a.example/x.")
        page = open_page(join_url)
        expect(page).to_have_title("The lobby")
        expect(page.get_by_role("heading", level=1)).to_have_text("The lobby")
        expect(page.get_by_role("banner")).to_contain_text("A place to wait")
        expect(page.get_by_role("main").get_by_role("listitem").filter(has_text="first")).to_contain_text(
            "Alice"
        )
        expect(page.get_by_role("complementary", name="Join with Session")).to_contain_text(join_url)
        expect(page.get_by_role("img", name="QR code of the join link")).to_be_visible()
        expect(page.get_by_role("link", name="https://a.example/x")).to_have_attribute(
            "href", "https://a.example/x"
        )
        expect(page.locator("time").first).to_have_text("9 Oct 2025, 08:53")
        assert texts(page) == ["see https://a.example/x.", "first"]

    def test_it_reads_without_scripts(self, open_page, join_url, alice):
        for number in range(55):
            alice.say(f"message {number}")
        page = open_page(join_url, java_script_enabled=False)
        assert page.locator("h1").inner_text() == "The lobby"
        assert texts(page) == [f"message {number}" for number in range(54, 4, -1)]
        assert page.locator("time").first.inner_text() == "9 October 2025, 08:53 UTC"
        assert page.locator("#join-url").inner_text() == join_url
        assert not page.locator("#copy").is_visible()
        assert not page.locator("#live").is_visible()
        page.get_by_role("link", name="Older messages").click()
        page.wait_for_url(re.compile("before="))
        assert texts(page) == [f"message {number}" for number in range(4, -1, -1)]
        page.get_by_role("link", name="Back to the newest messages").click()
        page.wait_for_url(re.compile("/r/lobby/$"))

    def test_the_list_of_rooms_leads_to_them(self, open_page, served):
        page = open_page(f"http://127.0.0.1:{served.port}/")
        page.get_by_role("link", name="The lobby").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The lobby")
        page.get_by_role("link", name="All rooms of this server").click()
        expect(page.get_by_role("heading", level=2)).to_have_text(["Annex", "The lobby"])

    def test_the_keyboard_is_enough(self, open_page, join_url, alice):
        alice.say("hello")
        page = open_page(join_url)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the messages")).to_be_focused()
        expect(page.get_by_role("link", name="Skip to the messages")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#messages")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.locator(".when")).to_be_focused()

    @pytest.mark.parametrize("way", ["clipboard", "selection"])
    def test_the_link_is_copied(self, open_page, join_url, way):
        page = open_page(join_url, permissions=["clipboard-read", "clipboard-write"])
        if way == "selection":
            page.evaluate(
                "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }"
            )
        page.get_by_role("button", name="Copy the link").click()
        expect(page.get_by_text("The link is copied.")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == join_url


class TestLooks:
    @pytest.mark.parametrize("size", [SMALL_PHONE, PHONE, DESKTOP])
    def test_nothing_is_wider_than_the_screen(self, open_page, server, join_url, alice, size):
        wide = "W" * 300
        server._database.execute("UPDATE rooms SET name = ?, description = ?", (wide, wide))
        alice.say(
            wide,
            profile={"display_name": wide},
            attachments=[{"url": "http://x/1", "file_name": wide, "content_type": wide}],
            preview=[{"url": f"https://a.example/{wide}"}],
            quote={"timestamp_ms": 1, "author": wide},
        )
        alice.say(f"https://a.example/{wide}")
        origin = join_url.rpartition("/")[0]
        page = open_page(join_url, size=size, expected=["404"])
        for path in ("", "/", "/r/nowhere/"):
            if path:
                page.goto(f"{origin}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_all_text_stands_out_from_its_ground(self, open_page, server, join_url, alice, scheme):
        alice.say(
            "hello https://a.example/",
            profile={"display_name": "Alice"},
            attachments=[{"url": "http://x/1", "file_name": "a.png", "content_type": "image/png"}],
            quote={"timestamp_ms": 1, "author": alice.id},
            signature=bytes(64),
        )
        alice.edit(alice.say("one"), "two")
        alice.say(data=b"\xff")
        page = open_page(f"{join_url}0", color_scheme=scheme)
        brightness = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (max(brightness) < 60) is (scheme == "dark")
        assert page.evaluate(WEAK_CONTRAST) == []


# Each element with a text of its own whose contrast to what is behind it is under 4.5 (WCAG 2.2, 1.4.3).
WEAK_CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((parts(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *:not(script)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const [a, b] = [getComputedStyle(element).color, ground(element)].map(light).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push(`${element.className || element.tagName} ${ratio.toFixed(2)}`);
  }
  return weak;
}"""


class TestQrCode:
    @pytest.mark.parametrize(("drawn", "scheme"), [("picture", "light"), ("page", "light"), ("page", "dark")])
    def test_it_reads_as_the_join_url(self, open_page, join_url, drawn, scheme):
        page = open_page(join_url, color_scheme=scheme)
        width, height, pixels = page.evaluate(PIXELS, "/r/lobby/invite.png" if drawn == "picture" else None)
        assert drawn == "page" or width == height >= 512
        grey = memoryview(bytes(pixels)).cast("B", (height, width))
        (found,) = zxingcpp.read_barcodes(grey)
        assert found.text == join_url


# Width, height and grey values of a picture, or of the code on the page.
PIXELS = """async (source) => {
  const drawing = document.querySelector(".qr"), image = new Image();
  if (!source) drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  image.src = source ?? `data:image/svg+xml,${encodeURIComponent(drawing.outerHTML)}`;
  await image.decode();
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.width, canvas.height, Array.from(data.filter((_, index) => index % 4 === 0))];
}"""


class TestStayingUpToDate:
    def test_new_changed_and_deleted_messages(self, open_page, server, join_url, alice):
        first = alice.say("first", timestamp_ms=7)
        second = alice.say("second", quote={"timestamp_ms": 7, "author": alice.id})
        page = open_page(join_url, frozen=True)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

        third = alice.say("third")
        next_poll(page)
        expect(page.locator(f"#m{third} .body")).to_have_text("third")
        assert texts(page) == ["third", "second", "first"]
        expect(page.locator(f"#m{third} time")).to_have_text("9 Oct 2025, 08:53")

        alice.edit(first, "first, changed")
        next_poll(page)
        expect(page.locator(f"#m{first} .body")).to_have_text("first, changed")
        expect(page.locator(f"#m{first} .edited")).to_be_visible()
        expect(page.locator(f"#m{second} .quoted")).to_have_text("first, changed")
        assert texts(page) == ["third", "second", "first, changed"]

        alice.delete(first)
        next_poll(page)
        expect(page.locator(f"#m{first}")).to_have_count(0)
        expect(page.locator(f"#m{second} .quoted")).to_have_count(0)

        for message_id in (second, third):
            alice.delete(message_id)
        next_poll(page)
        expect(page.get_by_text("There are no messages yet.")).to_be_visible()
        assert page.evaluate("window.violations") == []

    def test_many_at_once_all_arrive(self, open_page, join_url, alice):
        page = open_page(join_url, frozen=True)
        for number in range(130):
            alice.say(f"message {number}")
        next_poll(page)
        expect(page.locator(".message")).to_have_count(100)
        next_poll(page, after_ms=0)
        expect(page.locator(".message")).to_have_count(130)
        assert texts(page) == [f"message {number}" for number in range(129, -1, -1)]

    def test_the_heading_follows_the_room(self, open_page, server, served, join_url):
        page = open_page(join_url, frozen=True)
        server._database.execute("UPDATE rooms SET name = 'Salon', info_updates = 1 WHERE token = 'lobby'")
        next_poll(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Salon")
        expect(page).to_have_title("Salon")

    def test_what_members_and_moderators_do_is_seen(self, open_page, server, served, join_url, alice, poster):
        bob = poster("bob", server, served)
        server.give_role(Role(alice.id, "lobby", admin=True))
        first, spam = alice.say("first"), bob.say("spam")
        page = open_page(join_url, frozen=True)

        alice.react(first, "👍")
        bob.react(first, "👍")
        next_poll(page)
        expect(page.locator(f"#m{first} .reactions")).to_have_text(re.compile(r"👍\s*2"))
        bob.react(first, "👍", add=False)
        next_poll(page)
        expect(page.locator(f"#m{first} .reactions")).to_have_text(re.compile(r"👍\s*1"))

        picture = served.request("GET", "/r/lobby/invite.png", {"Host": "x"}).body
        alice.do("PUT", "/room/lobby", {"image": alice.upload(picture), "name": "Salon"})
        alice.do("POST", f"/room/lobby/pin/{first}")
        next_poll(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Salon")
        expect(page.locator("img.picture")).to_have_js_property(
            "naturalWidth", int.from_bytes(picture[16:20])
        )

        hushed = {**alice._signed("hush", {}), "whisper_to": bob.id}
        alice.do("POST", "/room/lobby/message", hushed)
        alice.do("POST", f"/user/{bob.id}/ban", {"rooms": ["lobby"]})
        alice.do("DELETE", f"/room/lobby/all/{bob.id}")
        next_poll(page)
        expect(page.locator(f"#m{spam}")).to_have_count(0)
        assert texts(page) == ["first"]
        assert "hush" not in page.content()
        assert page.evaluate("window.violations") == []

    def test_a_page_of_older_messages_follows_only_those(self, open_page, join_url, alice):
        sent = [alice.say(f"message {number}") for number in range(3)]
        page = open_page(f"{join_url.partition('?')[0]}?before={sent[2]}", frozen=True)
        alice.say("new")
        alice.edit(sent[0], "changed")
        next_poll(page)
        expect(page.locator(f"#m{sent[0]} .body")).to_have_text("changed")
        assert texts(page) == ["message 1", "changed"]

    def test_it_rests_while_nobody_looks(self, open_page, join_url, alice):
        page = open_page(join_url, frozen=True)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate(HIDE, True)
        expect(page.get_by_text("Paused")).to_be_visible()
        alice.say("meanwhile")
        assert page.evaluate("window.waiting") is None
        page.evaluate(HIDE, False)
        assert asked == []
        next_poll(page, after_ms=0)
        expect(page.get_by_text("meanwhile")).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

    def test_it_asks_less_often_while_the_server_is_away(self, open_page, join_url, alice):
        page = open_page(join_url, frozen=True, expected=["ERR_FAILED", "Failed to load resource"])
        page.route("**/updates?*", lambda route: route.abort())
        for wait_s, then_s in ((3, 6), (6, 12), (12, 24), (24, 48), (48, 60), (60, 60)):
            next_poll(page, after_ms=wait_s * 1000)
            expect(page.get_by_text(f"No connection, trying again in {then_s} s")).to_be_visible()
        page.unroute("**/updates?*")
        alice.say("back")
        next_poll(page, after_ms=60_000)
        expect(page.get_by_text("back", exact=True)).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()

    def test_it_ends_when_the_room_is_closed(self, open_page, server, join_url):
        page = open_page(join_url, frozen=True, expected=["403"])
        server._database.execute("UPDATE rooms SET read = 0")
        page.evaluate("window.elapse()")
        expect(page.get_by_text("This room can no longer be read here")).to_be_visible()
        page.evaluate(HIDE, False)
        assert page.evaluate("window.waiting") is None

    def test_it_starts_anew_with_a_server_that_has_forgotten(self, open_page, server, join_url, alice):
        alice.say("old")
        page = open_page(join_url, frozen=True)
        server._database.execute("DELETE FROM posts")
        server._database.execute("UPDATE rooms SET message_sequence = 0")
        with page.expect_navigation():
            page.evaluate("window.elapse()")
        expect(page.get_by_text("There are no messages yet.")).to_be_visible()


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class TestInjection:
    @pytest.fixture
    def attacked(self, server, poster, served):
        """A room in which everything that people can write is an attack."""
        server._database.execute("UPDATE rooms SET name = ?, description = ?", (EVERYTHING, EVERYTHING))
        mallory = poster("mallory", server, served)
        for attack in (*ATTACKS, EVERYTHING):
            message_id = self.attack(mallory, attack)
            # A reaction may have twelve letters.
            for reaction in (attack[:12], "<b onclick=h", "<svg/onload="):
                mallory.react(message_id, reaction)
        return mallory, f"http://127.0.0.1:{served.port}"

    def attack(self, mallory, text):
        return mallory.say(
            text,
            profile={"display_name": text},
            attachments=[{"url": text, "file_name": text, "content_type": text}],
            preview=[{"url": text, "title": text}, {"url": text}],
            quote={"timestamp_ms": 1, "author": text},
        )

    # Without the policy, escaping alone has to hold; with it, there must be nothing for it to stop.
    @pytest.mark.parametrize("bypass_csp", [False, True])
    @pytest.mark.parametrize(
        "path", ["/r/lobby/", "/lobby?public_key=%22onload=hit=1%3E%3Cscript%3Ehit=1", "/"]
    )
    def test_nothing_that_people_write_runs(self, open_page, attacked, path, bypass_csp):
        mallory, base = attacked
        page = open_page(base + path, frozen=True, bypass_csp=bypass_csp)
        if path != "/":
            assert len(texts(page)) == len(ATTACKS) + 1
            message_id = self.attack(mallory, f"live {EVERYTHING}")
            next_poll(page)
            shown = page.locator(f"#m{message_id}")
            expect(shown.locator(".body")).to_have_text(f"live {EVERYTHING}")
            for element in shown.locator("*").all():
                element.dispatch_event("mouseover")
                element.dispatch_event("pointerenter")
            expect(page.locator(f"#m{message_id} .name")).to_contain_text("live <script>")
        expect(
            page.locator("h1, h2").filter(has_text="<script>window.hit='script'</script>").first
        ).to_be_visible()
        assert page.evaluate("window.hit") is None
        assert page.evaluate("window.violations") == []
        assert page.evaluate(FOREIGN) == []

    def test_the_policy_would_stop_what_escaping_missed(self, open_page, join_url):
        page = open_page(join_url, expected=["Content Security Policy"])
        stopped = page.evaluate(
            """() => new Promise((resolve, reject) => {
              setTimeout(() => reject(new Error(`only ${window.violations} within 15 s`)), 15000);
              document.addEventListener("securitypolicyviolation", () => {
                if (window.violations.length === 2) resolve(window.violations);
              });
              const place = document.getElementById("messages");
              place.innerHTML = `<li><img src="/r/lobby/invite.png" onload="window.hit = 'handler'"></li>`;
              const script = document.createElement("script");
              script.textContent = "window.hit = 'script'";
              place.append(script);
            })"""
        )
        assert [violation.split()[0] for violation in sorted(stopped)] == [
            "script-src-attr",
            "script-src-elem",
        ]
        assert page.evaluate("window.hit") is None


# What has no place on the page: other scripts, handlers, frames, forms, links that are no web addresses.
FOREIGN = """() => [...document.querySelectorAll("*")].filter((element) =>
  ["IFRAME", "FORM", "BASE", "OBJECT", "EMBED"].includes(element.tagName)
  || (element.tagName === "SCRIPT" && element !== document.body.lastElementChild)
  || (element.tagName === "STYLE" && element.parentElement !== document.head)
  || [...element.attributes].some(({ name }) => name.startsWith("on") || name === "style")
  || (element.tagName === "A" && !["http:", "https:"].includes(element.protocol))
).map((element) => element.outerHTML)"""
