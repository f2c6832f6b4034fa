"""A reader's round in a headless Chromium: sign in, send, open, look, answer, print; and accessibility by axe."""

import base64
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from cxrscreen.report.figures import saliency_picture
from cxrscreen.service.access import Role
from cxrscreen.service.pages.static_files import STATIC
from cxrscreen.service.security.accounts import add_account
from cxrscreen.service.store.people import Session

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_core = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]
PASSWORD, NEXT_PASSWORD = "eleven green kettles whistle", "seven lanterns under water"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 120_000
AXE: dict[str, Any] = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    # The other scheme has the same elements in other colours.
    "dark": {"type": "rule", "values": ["color-contrast"]},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            timeout=PATIENCE,
        )
        yield browser
        browser.close()


class Visit:
    """A reader's browser window; what its console complains of is kept."""

    def __init__(self, browser: Any, address: str) -> None:
        self.context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, said: Any) -> None:
        # The advice on getImageData is about the reading that the tests do.
        if said.type in ("error", "warning") and "getImageData" not in said.text:
            self.complaints.append(said.text)

    def drawn(self) -> int:
        self.page.wait_for_selector("canvas[data-drawn]")
        return int(self.page.locator("canvas").first.get_attribute("data-drawn"))

    def colourful(self) -> int:
        """How many of the canvas's pixels are not grey."""
        script = """() => {
          const canvas = document.querySelector("canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let found = 0;
          for (let at = 0; at < data.length; at += 4) if (Math.abs(data[at] - data[at + 2]) > 12) found += 1;
          return found;
        }"""
        return int(self.page.evaluate(script))

    def grey(self) -> float:
        script = """() => {
          const canvas = document.querySelector("canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let sum = 0;
          for (let at = 0; at < data.length; at += 4) sum += data[at];
          return (4 * sum) / data.length;
        }"""
        return float(self.page.evaluate(script))

    def redrawn(self, before: int) -> None:
        """Wait for a picture after the one with a number."""
        for _ in range(600):
            if self.drawn() > before:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("the picture was not drawn again")

    def press(self, key: str) -> None:
        before = self.drawn()
        self.page.keyboard.press(key)
        self.redrawn(before)


@pytest.fixture(scope="module")
def visit(browser: Any, filled: Any) -> Iterator[Visit]:
    """Signed in as a reader, through the form."""
    department, _ = filled
    with department.context.database.writing() as session:
        add_account(session, "reader.one", Role.READER, department.context.now(), password=PASSWORD)
    visit = Visit(browser, department.address)
    signed_in(visit.page, "reader.one", PASSWORD)
    yield visit
    visit.context.close()


def signed_in(page: Any, name: str, password: str) -> None:
    page.goto("/worklist")
    assert page.url.endswith("/sign-in?next=/worklist")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == "/worklist")


DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  const zone = document.querySelector("[data-drop]");
  for (const kind of ["dragenter", "dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
WATCH = """() => {
  window.seen = {};
  new MutationObserver(() => {
    for (const row of document.querySelectorAll(".file")) {
      const name = row.querySelector(".file-name").textContent;
      const state = row.querySelector(".file-state").textContent;
      const states = (window.seen[name] ??= []);
      if (state && states.at(-1) !== state) states.push(state);
    }
    (window.counts ??= new Set()).add(document.querySelector("[data-summary]").textContent);
  }).observe(document.querySelector("[data-sent]"), { subtree: true, childList: true, characterData: true });
}"""


def test_three_files_are_dropped_and_followed_to_their_answers(visit: Visit, ward: dict[str, bytes]) -> None:
    page = visit.page
    page.goto("/upload")
    page.evaluate(WATCH)
    page.evaluate(DROP, [[name, base64.b64encode(content).decode()] for name, content in ward.items()])
    page.get_by_text("3 of 3 done").first.wait_for()
    seen = page.evaluate("window.seen")
    assert sorted(seen) == sorted(ward)
    for states in seen.values():
        assert states[0] == "in line"
        assert states[-1] == "screened"
        assert {"sending", "being checked", "accepted, waiting", "being screened"} & set(states[1:-1]), states
    assert "0 of 3 done" in page.evaluate("[...window.counts]")
    page.locator(".file", has_text="ward 1.png").get_by_role("link").click()
    page.wait_for_url("**/studies/*")
    visit.drawn()
    assert visit.complaints == []


def test_a_file_that_is_no_image_is_told_apart_from_those_that_are(visit: Visit, tmp_path: Path, examples: Any) -> None:
    page = visit.page
    page.goto("/upload")
    paths = []
    for name, content in examples.items():
        path = tmp_path / name
        path.write_bytes(content)
        paths.append(path)
    page.set_input_files("[data-files]", paths)
    page.get_by_text("3 of 3 done").first.wait_for()
    states = page.locator(".file-state").all_inner_texts()
    assert sorted(states) == ["refused", "screened", "screened"]
    assert "no image" in page.locator(".file", has_text="notes.txt").inner_text()
    # The browser itself writes a line for each answer that is no success.
    assert all("415" in text for text in visit.complaints)
    visit.complaints.clear()


def test_the_viewer_shows_maps_lungs_windows_and_zooms_by_keys(visit: Visit, filled: Any) -> None:
    _, studies = filled
    page = visit.page
    page.goto(f"/studies/{studies['current']}")
    visit.drawn()
    assert visit.colourful() == 0
    visit.press("l")
    assert page.get_by_role("button", name="Lungs").get_attribute("aria-pressed") == "true"
    assert visit.colourful() > 0
    visit.press("l")
    assert visit.colourful() == 0
    visit.press("1")
    assert visit.colourful() > 0
    assert page.locator("[data-legend-title]").inner_text().startswith("H2")
    strong = visit.colourful()
    before = visit.drawn()
    page.get_by_label("Strength of the map").first.fill("10")
    visit.redrawn(before)
    assert 0 <= visit.colourful() < strong
    visit.press("0")
    assert visit.colourful() == 0
    as_sent = visit.grey()
    visit.press("i")
    assert page.get_by_role("button", name="Invert").get_attribute("aria-pressed") == "true"
    assert abs(visit.grey() - as_sent) > 3
    visit.press("r")
    assert visit.grey() == pytest.approx(as_sent, abs=0.01)
    visit.press("+")
    assert "%" in page.locator("[data-readout]").inner_text()
    box = page.locator("canvas").bounding_box()
    before = visit.drawn()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 120)
    page.mouse.up()
    visit.redrawn(before)
    assert "Level 0.50" not in page.locator("[data-readout]").inner_text()
    coverage = page.get_by_role("radio", name="How often each place was looked at")
    before = visit.drawn()
    coverage.check()
    visit.redrawn(before)
    assert page.locator("[data-unknown]").is_visible()
    assert visit.complaints == []


def test_the_viewer_blends_a_map_as_the_report_does(visit: Visit, filled: Any) -> None:
    _, studies = filled
    visit.page.goto(f"/studies/{studies['current']}")
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (24, 32)).astype(np.uint8)
    level = rng.integers(0, 256, (24, 32)).astype(np.uint8)
    script = """async ([address, grey, level]) => {
      const { draw, greyTable } = await import(address);
      const text = atob(document.querySelector("[data-viewer]").dataset.saliencyScale);
      const scale = Uint8Array.from(text, (character) => character.charCodeAt(0));
      const size = { rows: 24, columns: 32 };
      const target = new ImageData(32, 24);
      draw(target, {
        view: { scale: 1, x: 16, y: 12 },
        planes: [{ values: Uint16Array.from(grey, (value) => 257 * value), ...size }],
        table: greyTable({ centre: 0.5, width: 1, invert: false }),
        map: { values: Uint8Array.from(level), known: null, ...size },
        scale,
      });
      return [...target.data];
    }"""
    address = f"{STATIC}/draw.js"
    drawn = visit.page.evaluate(script, [address, grey.ravel().tolist(), level.ravel().tolist()])
    shown = np.array(drawn).reshape(24, 32, 4)[..., :3]
    reported = saliency_picture(grey, level.astype(np.float32) / 255, np.zeros((24, 32), np.uint8))
    assert np.abs(shown - reported.astype(int)).max() <= 1


def test_a_reader_answers_and_prints(visit: Visit, filled: Any) -> None:
    _, studies = filled
    page = visit.page
    page.goto(f"/studies/{studies['later']}")
    page.get_by_role("button", name="Save the answer").click()
    page.get_by_text("Nothing was answered yet").wait_for()
    page.get_by_label("I disagree").check()
    page.get_by_label("Final diagnosis").select_option("bacterial")
    page.get_by_label("RT-PCR").select_option("negative")
    page.get_by_label("Day of the sample").fill("2020-04-02")
    page.get_by_label("Comment").fill("Left base.")
    page.get_by_role("button", name="Save the answer").click()
    said = page.locator("#answers li").first
    said.get_by_text("Left base.").wait_for()
    text = said.inner_text()
    assert "reader.one" in text
    assert "Disagrees" in text
    assert "Bacterial pneumonia" in text
    visit.drawn()
    assert visit.complaints == []


def test_printing_leaves_out_the_tools_and_not_the_warnings(visit: Visit, filled: Any) -> None:
    _, studies = filled
    page = visit.page
    page.goto(f"/studies/{studies['second']}")
    visit.drawn()
    page.evaluate("() => { window.print = () => { window.printed = (window.printed ?? 0) + 1; }; }")
    page.get_by_role("button", name="Print").click()
    page.keyboard.press("p")
    assert page.evaluate("window.printed") == 2
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert not page.get_by_role("button", name="Print").is_visible()
    assert not page.locator(".maps").first.is_visible()
    assert page.get_by_text("Research use only").first.is_visible()
    assert page.locator("details.limits li").first.is_visible()
    assert page.locator("canvas").first.is_visible()
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    page.emulate_media(media="screen")
    with page.expect_response("**/report.pdf") as answer:
        page.evaluate("fetch(document.querySelector('a[href$=\"report.pdf\"]').href)")
    assert answer.value.headers["content-type"] == "application/pdf"
    assert visit.complaints == []


def test_two_views_move_together(visit: Visit, filled: Any) -> None:
    _, studies = filled
    page = visit.page
    page.goto(f"/studies/{studies['current']}/beside/{studies['first']}")
    page.wait_for_selector("[data-side=left] canvas[data-drawn]")
    page.wait_for_selector("[data-side=right] canvas[data-drawn]")
    page.wait_for_timeout(300)
    visit.press("i")
    page.wait_for_timeout(300)
    assert all("inverted" in text for text in page.locator("[data-readout]").all_inner_texts())
    assert visit.complaints == []


def test_the_worklist_is_kept_new_and_moved_through_by_keys(visit: Visit, filled: Any, examples: Any) -> None:
    department, _ = filled
    page = visit.page
    page.goto("/worklist?show=all")
    rows = page.locator("tr[data-study]")
    count = rows.count()
    page.mouse.move(2, 2)
    department.take(examples["two.png"][:-12] + b"\0" * 12, "damaged.png")
    for _ in range(300):
        if rows.count() > count:
            break
        page.wait_for_timeout(100)
    assert rows.count() == count + 1
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.closest('tr').dataset.study")
    page.keyboard.press("ArrowDown")
    second = page.evaluate("document.activeElement.closest('tr').dataset.study")
    assert [first, second] == [rows.nth(place).get_attribute("data-study") for place in (0, 1)]
    page.keyboard.press("/")
    page.keyboard.type("P-10023")
    page.keyboard.press("Enter")
    page.get_by_text("Found: 4 studies.").first.wait_for()
    assert "10023" not in page.url
    page.keyboard.press("Escape")
    assert visit.complaints == []


def test_axe_finds_nothing_serious_in_light_and_dark(visit: Visit, filled: Any) -> None:
    _, studies = filled
    page = visit.page
    study = studies["current"]
    addresses = ("/worklist?show=all", "/upload", f"/studies/{study}", f"/studies/{study}/beside/{studies['first']}")
    others = (
        "/account",
        "/figures",
        "/sign-in",
        f"/studies/{studies['refused']}",
        f"/studies/{studies['failed']}",
        "/studies/none",
    )
    for address in (*addresses, *others):
        for scheme, rules in AXE.items():
            # Before the page is loaded: colours that change under a page are not all changed at once.
            page.emulate_media(color_scheme=scheme)
            page.goto(address)
            if address == "/worklist?show=all":
                page.keyboard.press("?")
            page.wait_for_function("document.getAnimations().length === 0")
            options = {"resultTypes": ["violations"], "runOnly": rules}
            serious = [
                (item["id"], node["target"], node["failureSummary"])
                for item in axe_core.Axe().run(page, options=options).response["violations"]
                if item["impact"] in ("serious", "critical")
                for node in item["nodes"]
            ]
            assert serious == [], f"{address}, {scheme}"
            # The browser itself writes of a page that is not there, and of a picture that cannot be shown.
            expected = {"/studies/none": "404", f"/studies/{studies['failed']}": "422"}.get(address)
            assert all(expected and expected in text for text in visit.complaints), (address, visit.complaints)
            visit.complaints.clear()


def test_a_reader_takes_another_password_and_makes_a_token(browser: Any, filled: Any) -> None:
    department, _ = filled
    with department.context.database.writing() as session:
        add_account(session, "reader.two", Role.READER, department.context.now(), password=PASSWORD)
    visit = Visit(browser, department.address)
    page = visit.page
    try:
        signed_in(page, "reader.two", PASSWORD)
        page.get_by_role("link", name="Signed in as reader.two").click()
        page.get_by_label("Present password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill(NEXT_PASSWORD)
        page.get_by_label("New password again").fill(PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        page.get_by_text("typed in two ways").wait_for()
        page.get_by_label("New password again").fill(NEXT_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        page.get_by_text("The password was changed").wait_for()
        page.get_by_label("What the token is for").fill("ward 3")
        assert page.get_by_label("Role").locator("option").all_inner_texts() == ["viewer", "reader"]
        page.get_by_role("button", name="Make a token").click()
        page.get_by_text("Copy the token now").wait_for()
        key = page.locator("[data-key]").inner_text()
        asked = {"Authorization": f"Bearer {key}"}
        assert page.request.get("/api/v1/session", headers=asked).json()["role"] == "viewer"
        page.reload()
        page.get_by_role("button", name="Revoke ward 3").click()
        page.get_by_text("The token was revoked.").wait_for(state="attached")
        page.get_by_role("button", name="Sign out everywhere").click()
        page.wait_for_url("**/sign-in")
        signed_in(page, "reader.two", NEXT_PASSWORD)
        assert visit.complaints == []
    finally:
        visit.context.close()


def test_a_page_that_is_left_alone_keeps_no_session_and_leads_back_to_itself(browser: Any, filled: Any) -> None:
    department, _ = filled
    context = department.context
    with context.database.writing() as session:
        ids = {add_account(session, "reader.three", Role.READER, context.now(), password=PASSWORD).id}
    visit = Visit(browser, department.address)
    page = visit.page

    def last_seen(minutes: float) -> Any:
        """Have the session used last some time ago; give the moment."""
        with context.database.writing() as session:
            (row,) = session.query(Session).filter(Session.user_id.in_(ids)).all()
            row.last_seen_at = context.now() - timedelta(minutes=minutes)
            return row.last_seen_at

    try:
        signed_in(page, "reader.three", PASSWORD)
        page.goto("/worklist?show=all")
        seen = last_seen(30)
        for _ in range(2):
            with page.expect_response(lambda answer: "/worklist/rows" in answer.url) as polled:
                pass
            assert polled.value.status == 200
        with context.database.reading() as session:
            (row,) = session.query(Session).filter(Session.user_id.in_(ids)).all()
            assert row.last_seen_at == seen
        last_seen(context.settings.session_idle_minutes + 1)
        page.wait_for_url("**/sign-in?next=*")
        page.get_by_label("Name").fill("reader.three")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/worklist?show=all")
        page.get_by_text("Research use only").first.wait_for()
    finally:
        visit.context.close()
