"""The page over the server, in a browser: make, upload, preview, edit, search, ask, open a citation, measure."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from rag.ui import shown

ROOT = Path(__file__).parents[3]
PACKAGES = ROOT / "build" / "ui"
"""Where `make test-rag` puts Gradio, which wants other versions of what our tests have."""
EVIL = '<img src="http://evil.example/x.png" onerror="alert(1)"> ![x](http://evil.example/y.png) ${alert(1)} {{7*7}}'
ODD = "A refund takes five days, whatever <b>others</b> say."


# ----------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    "text", [EVIL, "</div><script>alert(1)</script>", "`${1+1}`", "{{constructor}}", '" onclick="x']
)
def test_no_text_is_more_than_words(text):
    place = {"page": None, "box": None, "line": 3}
    one = {"id": 1, "document": 1, "source": text, "number": 0, "text": text, "headings": [text], "kind": text}
    hit = {**one, "places": [place], "score": 1.0, "scores": {text: 1.0}, "context": None}
    task = {
        "id": 1,
        "source": text,
        "bytes": 1,
        "state": text,
        "progress": 0.5,
        "error": text,
        "stage": "",
        "report": {},
    }
    passage = {"source": text, "passages": [{"text": text, "headings": [text], "line": 1, "marked": True}]}
    run = {"id": text, "name": text, "questions": 1, "state": text, "progress": 0, "error": text, "created": 0}
    made = [
        shown.problem(text),
        shown.hits([hit], 0.1),
        shown.chunks([hit]),
        shown.tasks([task]),
        shown.documents([{"id": text, "source": text, "facts": {text: [text]}, "chunks": 1, "changed": 0}]),
        shown.talk([{"role": "user", "text": text}, {"role": "assistant", "text": f"{text} [1]", "citations": [hit]}]),
        shown.passage(passage),
        shown.page("image/png", b"x", text),
        shown.evaluations([run]),
        shown.evaluation({**run, "report": None}),
    ]
    for html in made:
        assert not re.search(r"<script|<img (?!alt=\"page\" src=\"data:)|[`${}]|onclick=\"x", html), html


def test_citations_of_nothing_stay_words():
    html = shown.talk([{"role": "assistant", "text": "Five days [1][2].", "citations": []}])
    assert "<button" not in html


# ------------------------------------------------------------------------------------------ in a browser


class Page:
    """The page in a browser, used as somebody would."""

    def __init__(self, browser, address, pictures):
        self.browser, self.pictures = browser, pictures
        browser.open(address, 1400, 1000)
        browser.wait("document.querySelector('#connect') !== null")

    def tab(self, name):
        self.browser.wait(
            f"(() => {{ const one = [...document.querySelectorAll('button[role=tab]')].find(b => b.innerText.trim() === {name!r});"
            " one.click(); return one.getAttribute('aria-selected') === 'true' })()"
        )

    def fill(self, elem, text):
        self.browser.wait(f"document.querySelector('#{elem} textarea, #{elem} input') !== null")
        self.browser.run(
            f"(() => {{ const one = document.querySelector('#{elem} textarea, #{elem} input');"
            " const kind = one.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement;"
            f" Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(one, {json.dumps(text)});"
            " one.dispatchEvent(new Event('input', {bubbles: true}));"
            " one.dispatchEvent(new Event('change', {bubbles: true})); return true })()"
        )

    def click(self, selector):
        self.browser.wait(f"(() => {{ document.querySelector({json.dumps(selector)}).click(); return true }})()")

    def sees(self, selector, text, seconds=90):
        self.browser.wait(
            f"document.querySelector({json.dumps(selector)}).innerText.includes({json.dumps(text)})", seconds
        )

    def files(self, elem, *paths):
        root = self.browser.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.ask("DOM.querySelector", nodeId=root, selector=f"#{elem} input[type=file]")["nodeId"]
        self.browser.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])
        self.browser.wait(f"document.querySelector('#{elem}').innerText.includes({json.dumps(paths[0].name)})")

    def marked(self, selector):
        """Whether a picture has something that is marked in it."""
        script = f"""new Promise(done => {{
          const image = document.querySelector({json.dumps(selector)});
          const look = () => {{
            const canvas = document.createElement('canvas');
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
            const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
              if (data[i] === 215 && data[i + 1] === 90 && data[i + 2] === 0) count++;
            done(count);
          }};
          image.complete ? look() : image.onload = look;
        }})"""
        return self.browser.run(script) > 100

    def picture(self, name):
        self.browser.picture(self.pictures / f"{name}.png")


@pytest.fixture
def page_of(tmp_path):
    """`page_of(config)`: the address of a page in a process of its own."""
    if importlib.util.find_spec("gradio") is None and not PACKAGES.exists():
        pytest.skip("needs the extra 'ui': make test-rag puts it into build/ui")
    with contextlib.ExitStack() as stack:

        def made(config):
            (tmp_path / "rag.yaml").write_text(yaml.safe_dump(config))
            command = [sys.executable, "-m", "easyrec", "rag", "ui", "-c", "rag.yaml", "--port", "0"]
            places = [str(PACKAGES), str(ROOT)] if PACKAGES.exists() else [str(ROOT)]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
            process = stack.enter_context(
                subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.send_signal, signal.SIGTERM)
            said = process.stdout.readline()
            assert said.startswith("the page: "), said
            address = said.removeprefix("the page: ").strip()
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(address, trust_env=False, timeout=60).status_code == 200:
                        return address
                assert time.monotonic() < end
                time.sleep(0.1)

        yield made


def handbook(path):
    """A PDF file with two columns of words, of which one answers."""
    canvas = pytest.importorskip("reportlab.pdfgen.canvas").Canvas(str(path), pagesize=(420, 560))
    canvas.setFont("Helvetica-Bold", 18)
    canvas.drawString(40, 510, "Handbook of the shop")
    canvas.setFont("Helvetica-Bold", 13)
    canvas.drawString(40, 470, "Refunds")
    canvas.setFont("Helvetica", 10)
    canvas.drawString(40, 450, ODD)
    canvas.setFont("Helvetica-Bold", 13)
    canvas.drawString(40, 400, "Delivery")
    canvas.setFont("Helvetica", 10)
    canvas.drawString(40, 380, "Parcels are sent by post and take two days.")
    canvas.save()


@pytest.mark.slow
def test_the_whole_way_in_a_browser(serve, page_of, browser, model_server, tmp_path):
    pytest.importorskip("pypdfium2")
    served = serve(users=serve.users)
    address = page_of({"name": "handbook", "knowledge": {"path": "kb"}, "ui": {"server": served.address}})
    handbook(tmp_path / "handbook.pdf")
    (tmp_path / "evil.md").write_text(f"# Evil\n\nRefunds: {EVIL}\n")
    page = Page(browser, address, tmp_path)
    page.click("#connect")
    page.sees("body", "needs a key")
    page.fill("key", serve.keys["root"])
    page.click("#connect")

    page.fill("new-name", "handbook")
    page.click("#new-make")
    page.sees("#settings-about", "0 documents")
    page.fill("settings", "search: {modd: keyword}")
    page.click("#settings-save")
    page.sees("#settings-told", "unknown key; did you mean 'mode'?")
    page.fill("settings", "search: {k: 4}")
    page.click("#settings-save")
    page.sees("#settings-told", "Saved.")
    page.picture("settings")

    page.tab("Upload")
    page.files("files", tmp_path / "handbook.pdf", tmp_path / "evil.md")
    page.fill("facts", "team=shop")
    page.click("#hold input")
    page.click("#send")
    page.sees("#tasks", "held")
    for name in ("handbook.pdf", "evil.md"):
        page.browser.wait(
            f"(() => {{ [...document.querySelectorAll('#tasks tr')].find(r => r.innerText.includes('{name}')).click(); return true }})()"
        )
        page.sees("#chunks", f"{name} would have")
        page.click("#take")
        page.browser.wait(
            f"[...document.querySelectorAll('#tasks tr')].find(r => r.innerText.includes('{name}')).innerText.includes('done')"
        )
    page.sees("#documents", "team=shop")
    page.browser.wait(
        "(() => { [...document.querySelectorAll('#documents tr')].find(r => r.innerText.includes('handbook.pdf')).click(); return true })()"
    )
    page.sees("#chunks", "Parcels are sent")
    page.browser.wait(
        "(() => { [...document.querySelectorAll('#chunks .er-chunk')].find(c => c.innerText.includes('Parcels')).click(); return true })()"
    )
    page.browser.wait("document.querySelector('#words textarea').value.includes('Parcels are sent')")
    page.fill("words", "Parcels are sent by post and take three days.")
    page.click("#chunk-save")
    page.sees("#chunks", "take three days")
    page.picture("upload")

    page.tab("Search")
    page.fill("query", "how long does a refund take?")
    page.click("#find")
    page.sees("#hits-left", "five days")
    page.sees("#hits-right", "keyword")
    page.browser.wait(
        "(() => { [...document.querySelectorAll('#hits-left .er-hit')].find(c => c.innerText.includes('five days')).click(); return true })()"
    )
    page.browser.wait("document.querySelector('#search-page img') !== null")
    page.picture("search")

    page.tab("Chat")
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken(f"Five days [1]. |{EVIL}"))
    page.fill("question", "how long does a refund take, whatever others say?")
    page.click("#ask")
    page.browser.wait("document.querySelector('#talk .er-answer .er-cite') !== null")
    page.click("#talk .er-answer .er-cite")
    page.browser.wait("document.querySelector('#page img') !== null")
    assert page.marked("#page img")
    page.picture("chat")
    assert page.browser.run("document.querySelectorAll('#talk img, #talk script, #chunks img').length") == 0
    page.sees("#talk", "{{7*7}}")
    asked = len(model_server.asked)
    page.click("#only input")
    page.fill("question", "refund")
    page.click("#ask")
    page.sees("#talk", "[1]")
    assert len(model_server.asked) == asked

    page.tab("Evaluation")
    question = {
        "question": "how long does a refund take?",
        "references": [{"source": "handbook.pdf", "quote": "five days"}],
    }
    page.fill("eval-questions", json.dumps(question))
    for k in (1, 4):
        page.fill("eval-name", f"k {k}")
        page.fill("eval-settings", f"search: {{k: {k}}}")
        page.click("#eval-run")
        page.browser.wait(
            f"[...document.querySelectorAll('#evaluations tr')].find(r => r.innerText.includes('k {k}')).innerText.includes('done')"
        )
    for k in (1, 4):
        page.browser.wait(
            f"(() => {{ [...document.querySelectorAll('#evaluations tr')].find(r => r.innerText.includes('k {k}')).click(); return true }})()"
        )
        page.browser.wait(f"document.querySelector('#eval-result h4').innerText === 'k {k}'")
    page.sees("#eval-result", "Beside the one chosen before")
    page.sees("#eval-result", "+0.000")
    page.picture("evaluation")
    assert page.browser.complaints() == []


def row(table, text):
    """Chooses a row of a table."""
    return f"(() => {{ [...document.querySelectorAll('#{table} tr')].find(r => r.innerText.includes({text!r})).click(); return true }})()"


@pytest.mark.slow
def test_what_goes_wrong_is_told_and_nothing_stays_of_another_base_or_key(
    serve, page_of, browser, model_server, tmp_path
):
    served = serve(users=serve.users, limits={"file_bytes": 1000})
    served.filled("root")
    served.ask("POST", "/v1/kb", "root", json={"name": "other"})
    address = page_of({"name": "handbook", "knowledge": {"path": "kb"}, "ui": {"server": served.address}})
    (tmp_path / "huge.md").write_text("words " * 1000)
    (tmp_path / "small.md").write_text("# Small\n\nA few words.\n")
    page = Page(browser, address, tmp_path)

    def choose(base):
        page.browser.run("document.querySelector('#base input').focus()")
        option = f"[...document.querySelectorAll('#base [role=option]')].find(o => o.innerText.includes('{base}'))"
        page.browser.wait(
            f"(() => {{ {option}.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}})); return true }})()"
        )
        page.browser.run("document.querySelector('#base input').blur()")
        page.browser.wait(f"document.querySelector('#base input').value === '{base}'")

    def connect(who):
        page.fill("key", serve.keys[who])
        page.click("#connect")

    connect("root")
    page.browser.wait("document.querySelector('#base input').value === 'other'")
    choose("shop")
    page.tab("Upload")
    page.sees("#documents", "refunds.md")
    for wrong, told in (("huge.md", "more than the 1,000 bytes"), ("small.md", "name=value, not 'oops'")):
        page.fill("facts", "oops" if wrong == "small.md" else "")
        page.files("files", tmp_path / wrong)
        page.click("#send")
        page.sees("#upload-told", told)
        page.browser.wait(f"!document.querySelector('#files').innerText.includes('{wrong}')")
        page.click("#send")
        page.sees("#upload-told", "choose files first")
    page.fill("facts", "")
    page.files("files", tmp_path / "small.md")
    page.click("#send")
    page.browser.wait(row("documents", "small.md"))
    page.sees("#chunks", "A few words.")

    page.tab("Chat")
    words = serve.spoken("|".join(["five "] * 200))
    model_server.answer = lambda path, body: model_server.Reply(pieces=words, wait=0.05)
    page.fill("question", "how long does a refund take?")
    page.click("#ask")
    page.sees("#talk", "five five five")
    page.click("#stop")
    model_server.answer = lambda path, body: model_server.Reply({"error": {"message": "down"}}, status=503)
    page.fill("question", "and a refund by post?")
    for _ in range(20):  # what is asked before the stop has arrived is not asked
        page.click("#ask")
        with contextlib.suppress(AssertionError):
            page.sees("#chat-told", "cannot be reached", 4)
            break
    page.sees("#chat-told", "cannot be reached", 1)
    page.sees("#talk", "five five five")
    page.browser.wait("document.querySelector('#question textarea').value === 'and a refund by post?'")

    choose("other")
    page.sees("#talk", "Ask something.")
    page.tab("Upload")
    page.sees("#documents", "There are no documents yet.")
    page.browser.wait("!document.querySelector('#chunks').innerText.includes('A few words.')")
    page.click("#document-drop")
    page.sees("#upload-told", "choose a document first")

    choose("shop")
    page.tab("Search")
    page.fill("query", "refund")
    page.click("#find")
    page.sees("#hits-left", "five days")
    connect("otto")
    page.browser.wait("!document.querySelector('#hits-left').innerText.includes('five days')")
    page.tab("Evaluation")
    page.sees("#evaluations", "this key sees some of them")
    assert page.browser.complaints() == []


@pytest.mark.slow
def test_two_people_at_once_see_each_their_own(serve, page_of, browser, model_server, tmp_path):
    served = serve(users=serve.users)
    served.filled("root")
    assert served.put("shop", {"pay.md": b"# Pay\n\nA refund of pay is secret.\n"}, "root", access="hr")
    served.until_done("shop", "root")
    address = page_of({"name": "handbook", "knowledge": {"path": "kb"}, "ui": {"server": served.address}})
    (tmp_path / "second").mkdir()
    other = type(browser)(tmp_path / "second")
    try:
        pages = {"root": Page(browser, address, tmp_path), "otto": Page(other, address, tmp_path)}
        for who, page in pages.items():
            page.fill("key", serve.keys[who])
            page.click("#connect")
            page.browser.wait("document.querySelector('#base input').value === 'shop'")
            page.tab("Search")
            page.fill("query", "refund of pay")
        for page in pages.values():
            page.click("#find")
        pages["root"].sees("#hits-left", "is secret")
        pages["otto"].sees("#hits-left", "five days")
        assert not pages["otto"].browser.run("document.body.innerText.includes('is secret')")

        def answer(path, body):
            who = "otto" if "for otto" in json.dumps(body) else "root"
            return model_server.Reply(pieces=serve.spoken("|".join([f"{who} "] * 60)), wait=0.05)

        model_server.answer = answer
        for who, page in pages.items():
            page.tab("Chat")
            page.fill("question", f"how long does a refund take for {who}?")
        for page in pages.values():
            page.click("#ask")
        for who, page in pages.items():
            page.sees("#talk", f"{who} {who} {who}")
        for who, page in pages.items():
            page.sees("#talk", " ".join([who] * 60))
            (neighbour,) = set(pages) - {who}
            assert not page.browser.run(f"document.querySelector('#talk').innerText.includes({neighbour!r})")

        pages["root"].tab("Upload")
        pages["root"].browser.wait(row("documents", "refunds.md"))
        pages["root"].sees("#chunks", "five days")
        pages["root"].click("#document-drop")
        pages["root"].browser.wait("!document.querySelector('#documents').innerText.includes('refunds.md')")
        pages["otto"].tab("Search")
        pages["otto"].click("#find")
        pages["otto"].browser.wait("!document.querySelector('#hits-left').innerText.includes('five days')")
        assert [page.browser.complaints() for page in pages.values()] == [[], []]
    finally:
        other.stop()
