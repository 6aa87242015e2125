"""The output of a program in a terminal as an SVG: text with its colours, wrapped as a terminal wraps it."""

import re
from html import escape

FONT_SIZE = 13
CHARACTER_WIDTH = 7.8
LINE_HEIGHT = 18
MARGIN = 16
TITLE_HEIGHT = 28

BACKGROUND, TITLE_BACKGROUND, FOREGROUND = "#16181d", "#23262e", "#d7dae0"
# SGR colours 30 to 37 and 90 to 97.
COLOURS = ["#7f848e", "#f2777a", "#8fd16f", "#f0c674", "#6fb3f2", "#c792ea", "#5fd1c9", "#d7dae0"]

ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\].*?(?:\x07|\x1b\\)|\x1b.")


class Style:
    """What SGR sequences have set so far."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.bold = self.dim = self.italic = False
        self.colour = None

    def apply(self, codes):
        for code in [int(code or 0) for code in codes.split(";")]:
            if code == 0:
                self.reset()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 3:
                self.italic = True
            elif code == 22:
                self.bold = self.dim = False
            elif code == 23:
                self.italic = False
            elif code == 39:
                self.colour = None
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.colour = COLOURS[code % 10]

    def attributes(self):
        """As attributes of SVG, which are equal for equal looks."""
        attributes = [f'fill="{self.colour}"'] if self.colour else []
        attributes += ['font-weight="bold"'] if self.bold else []
        attributes += ['font-style="italic"'] if self.italic else []
        attributes += ['opacity="0.6"'] if self.dim else []
        return " ".join(attributes)


def lines(output, columns):
    """The lines that the terminal shows: each a list of pairs of a text and its attributes."""
    style, shown, width, at = Style(), [[]], 0, 0
    while at < len(output):
        sequence = ESCAPE.match(output, at)
        if sequence:
            if sequence[2] == "m":
                style.apply(sequence[1])
            at = sequence.end()
            continue
        character, at = output[at], at + 1
        if character == "\n":
            shown.append([])
            width = 0
        elif character == "\r":
            width = 0
        elif character.isprintable():
            if width == columns:
                shown.append([])
                width = 0
            append(shown[-1], character, style.attributes())
            width += 1
    while shown and not shown[-1]:
        shown.pop()
    return shown


def append(line, character, attributes):
    if line and line[-1][1] == attributes:
        line[-1] = (line[-1][0] + character, attributes)
    else:
        line.append((character, attributes))


def svg(shown, columns, title):
    width = round(columns * CHARACTER_WIDTH + 2 * MARGIN)
    height = TITLE_HEIGHT + len(shown) * LINE_HEIGHT + 2 * MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
        f'<path d="M0 {TITLE_HEIGHT}V8a8 8 0 0 1 8-8H{width - 8}a8 8 0 0 1 8 8V{TITLE_HEIGHT}z" '
        f'fill="{TITLE_BACKGROUND}"/>',
    ]
    for index, colour in enumerate([COLOURS[1], COLOURS[3], COLOURS[2]]):
        drawn.append(f'<circle cx="{MARGIN + 6 + index * 20}" cy="{TITLE_HEIGHT / 2}" r="6" fill="{colour}"/>')
    drawn.append(
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" '
        f'font-size="{FONT_SIZE}" fill="{FOREGROUND}">'
    )
    for row, line in enumerate(shown):
        drawn.extend(text(line, TITLE_HEIGHT + MARGIN + (row + 0.75) * LINE_HEIGHT))
    return "\n".join([*drawn, "</g>", "</svg>", ""])


def text(line, y):
    """The runs of a line, each at its column and as wide as its characters, whatever the font."""
    column = 0
    for run, attributes in line:
        if run.strip():
            lead = len(run) - len(run.lstrip())
            word = run.strip()
            x = MARGIN + (column + lead) * CHARACTER_WIDTH
            length = len(word) * CHARACTER_WIDTH
            yield (
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}" xml:space="preserve"'
                f"{' ' + attributes if attributes else ''}>{escape(word, quote=False)}</text>"
            )
        column += len(run)
