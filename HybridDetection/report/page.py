"""The page's skeleton; the scripts in static/ fill it from data.js."""

from dominate import document, tags

# In the order in which they run. No modules: browsers refuse them on a page without a server.
SCRIPTS = ("common", "threshold", "evaluation", "list", "photograph", "map", "start")

HEAT_NOTE = (
    "Orange patches speak for a hybrid, blue ones against; the strength is what each adds to the "
    "log-odds of the score, to first order. The networks look at wide neighbourhoods, so a patch "
    "also tells of what lies around it, and a heat map shows what the detector uses, not what a "
    "hybrid is. What speaks from the whole picture at once lies nowhere and is left out."
)
OUTSIDE_NOTE = (
    "Beside each map stands the share of the evidence, for or against, in patches that do not "
    "reach the specimen. A detector that looks at labels and rulers has learnt who took the "
    "photograph."
)
PARENTS_NOTE = (
    "Parents are the pair of subspecies between which the specimen most likely lies. They suppose "
    "that it is a hybrid, and mean nothing where it is none. Below a certainty of 0.5 the pair is "
    "called unknown. Beside each parent stands the training photograph of it whose features are "
    "most like this one's."
)
MAP_NOTE = (
    "Images that the network finds alike lie close together. Colours are the subspecies of the "
    "training images; the scored photographs have none, as theirs is not known here."
)


class dialog(tags.html_tag):
    """The tag, which dominate lacks; it takes a tag's name from the class."""


def make_page(data: dict) -> str:
    """The HTML of a report of `data`, as report_data gives it."""
    page = document(title="Which of these are hybrids?", doctype="<!DOCTYPE html>")
    page["lang"] = "en"
    with page.head:
        tags.meta(charset="utf-8")
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        tags.meta(name="color-scheme", content="light dark")
        tags.link(rel="stylesheet", href="static/style.css")
        tags.script(src="data.js", defer=True)
        for name in SCRIPTS:
            tags.script(src=f"static/{name}.js", defer=True)
    with page:
        with tags.header():
            tags.h1("Which of these are hybrids?")
            tags.p(summary(data), id="summary")
            with tags.nav(aria_label="parts of the report"):
                tags.a("Photographs", href="#photographs")
                if data["reference"]:
                    tags.a("How good the scores are", href="#evaluation")
                if data["featureMap"]:
                    tags.a("Map of features", href="#map")
                tags.a("How to read it", href="#reading")
        with tags.main():
            tags.noscript(tags.p("This page draws its pictures with a script; allow it to run."))
            decision_section(data)
            photograph_section(data)
            if data["reference"]:
                evaluation_section()
            if data["featureMap"]:
                map_section(data)
            reading_section(data)
        panel(data)
    return page.render(pretty=False)


def summary(data: dict) -> str:
    count = len(data["photographs"]["name"])
    photographs = "1 photograph" if count == 1 else f"{count:,} photographs"
    if not data["backbone"]:
        return f"{photographs}, ranked by their scores."
    cut_out = " Specimens were cut out first." if data["preprocess"] == "cutout" else ""
    members = ", ".join(data["memberNames"])
    return f"{photographs}, scored with {data['backbone']} ({members}).{cut_out}"


def decision_section(data: dict) -> None:
    with tags.section(id="decide", aria_labelledby="decide_title"):
        tags.h2("Where to draw the line", id="decide_title")
        tags.p(threshold_origin(data), cls="note on_screen")
        tags.div(id="histogram", cls="chart")
    with tags.div(id="bar"):  # stays in view, so it stands in no section
        bounds = {"min": "0", "max": 1, "step": 0.001}
        tags.input_(type="range", id="threshold", aria_label="threshold", **bounds)
        tags.label("A hybrid scores above", html_for="exact")
        tags.input_(type="number", id="exact", **bounds)
        tags.p(id="counts", role="status")


def threshold_origin(data: dict) -> str:
    if data["threshold"] is not None:
        return (
            "It begins at the threshold of the scoring. Move it: whoever must miss no hybrid goes "
            "left and looks at more photographs, whoever must be sure goes right."
        )
    return "No threshold is known for these scores; 0.5 is a beginning, and no more."


def choice(name: str, label: str, *options: tuple[str, str]) -> None:
    with tags.label(cls="control"):
        tags.span(label)
        with tags.select(id=name):
            for value, text in options:
                tags.option(text, value=value)


def photograph_section(data: dict) -> None:
    with tags.section(id="photographs", aria_labelledby="photographs_title"):
        tags.h2("Photographs", id="photographs_title")
        with tags.form(id="filters", aria_label="choose photographs"):
            with tags.label(cls="control"):
                tags.span("Name")
                tags.input_(type="search", id="name", placeholder="part of a name")
            choice("decision", "Called", ("", "all"), ("1", "hybrid"), ("0", "non-hybrid"))
            if "subspecies" in data["memberNames"]:
                choice("parents", "Parents", ("", "all"))
            if data["reference"]:
                kinds = ("", "all"), ("1", "hybrid"), ("0", "non-hybrid")
                choice("truth", "Is, by the reference", *kinds, ("wrong", "called wrongly"))
            with tags.fieldset(cls="control"):
                tags.legend("Score")
                for name, text in (("lowest", "lowest score"), ("highest", "highest score")):
                    attributes = {"min": "0", "max": 1, "step": "any", "aria_label": text}
                    placeholder = "from" if name == "lowest" else "to"
                    tags.input_(type="number", id=name, placeholder=placeholder, **attributes)
            choice("sort", "Sorted by")
            if any(data["maps"]):
                with tags.label(cls="check"):
                    tags.input_(type="checkbox", id="heat")
                    tags.span("Heat maps")
            tags.button("Show all", type="reset", id="reset")
            tags.button("Download this selection as CSV", type="button", id="download")
        tags.p(id="selected", role="status")
        tags.div(id="list", role="list", aria_labelledby="photographs_title")
        tags.p(id="printed", cls="note")  # empty on a screen


def evaluation_section() -> None:
    with tags.section(id="evaluation", aria_labelledby="evaluation_title"):
        tags.h2("How good the scores are", id="evaluation_title")
        tags.p(
            "By the reference. The official scores have thresholds of their own, one for each "
            "species, that 95 % of its non-hybrids do not pass; the curves and the misses follow "
            "the threshold above.",
            cls="note",
        )
        with tags.div(cls="charts"):
            tags.div(id="official")
            for name in ("roc", "precision_recall"):
                tags.div(id=name, cls="chart")
        tags.h3("Hybrids found, by cross")
        tags.div(id="crosses")
        tags.h3("Hybrids with the lowest scores among those missed")
        tags.div(id="missed", cls="strip")
        tags.h3("Non-hybrids with the highest scores among those called hybrid")
        tags.div(id="false", cls="strip")


def map_section(data: dict) -> None:
    how = data["featureMap"]["how"]
    with tags.section(id="map", aria_labelledby="map_title"):
        tags.h2(f"Map of features ({how})", id="map_title")
        tags.p(MAP_NOTE, cls="note")
        if data["noTraining"]:
            tags.p(f"No training images are shown: {data['noTraining']}.", cls="note")
        tags.div(id="legend")
        with tags.div(id="map_frame"):
            tags.canvas(
                id="map_canvas",
                tabindex="0",
                role="application",  # a screen reader passes the arrow keys on
                aria_label="Map of the features. Left and right go through the scored "
                "photographs, by score, up and down through the training images; Enter opens a "
                "photograph.",
            )
            tags.div(id="map_tip", hidden=True, aria_live="polite")


def reading_section(data: dict) -> None:
    with tags.section(id="reading", aria_labelledby="reading_title"):
        tags.h2("How to read it", id="reading_title")
        tags.p(
            "A score is 0 to 1, higher being more likely a hybrid; it is no probability. "
            "The photographs are shown as the networks see them."
        )
        if any(data["maps"]):
            tags.p(HEAT_NOTE)
            tags.p(OUTSIDE_NOTE)
        if "subspecies" in data["memberNames"]:
            tags.p(PARENTS_NOTE)
        tags.p(
            "Keys in the list: arrows move, Enter opens a photograph; there, left and right go on "
            "and Escape closes.",
            cls="on_screen",
        )


def panel(data: dict) -> None:
    with dialog(id="panel", aria_labelledby="panel_title"):
        with tags.div(cls="panel_head"):
            tags.h2(id="panel_title")
            tags.button("Previous", type="button", id="previous")
            tags.button("Next", type="button", id="next")
            tags.button("Close", type="button", id="close")
        tags.div(id="panel_body")
