"""Colours for code in the light and the dark theme, with a contrast of at least 4.5 (WCAG 2.2, 1.4.3)."""

from pygments.token import (
    STANDARD_TYPES,
    Comment,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    _TokenType,
)

LIGHT_BACKGROUND = "#f6f8fa"
DARK_BACKGROUND = "#161d27"

# For each name: the colour in the light and in the dark theme, and Pygments' kinds of tokens that have it.
COLOURS: dict[str, tuple[str, str, tuple[_TokenType, ...]]] = {
    "comment": ("#57606a", "#9aa4b0", (Comment, Generic.Output)),
    "keyword": ("#b3202b", "#ff8f87", (Keyword, Operator.Word, Comment.Preproc, Name.Decorator, Generic.Prompt)),
    "string": ("#0a3069", "#a5d6ff", (String, Generic.Heading, Generic.Subheading)),
    "escape": ("#8a3a00", "#ffb77c", (String.Escape, String.Interpol, Name.Variable, Name.Entity)),
    "number": ("#0550ae", "#8ac7ff", (Number, Keyword.Constant, Name.Constant, Name.Attribute, Name.Builtin)),
    "function": ("#6a3bb5", "#d6b4ff", (Name.Function, Name.Class, Name.Exception, Keyword.Type)),
    "inserted": ("#116329", "#7ee787", (Generic.Inserted, Name.Tag)),
    "deleted": ("#9a1c26", "#ffa198", (Generic.Deleted,)),
}
COLOURED = frozenset(kind for _, _, kinds in COLOURS.values() for kind in kinds)


def highlight_css(*, scope: str = ".code", dark: str = ".dark") -> str:
    """Return the style sheet for code within `scope`; `dark` is the selector of an ancestor in the dark theme."""
    # As variables, so that the dark theme replaces values only and needs no second set of rules.
    light_values = "".join(f"--code-{name}:{light};" for name, (light, _, _) in COLOURS.items())
    dark_values = "".join(f"--code-{name}:{shade};" for name, (_, shade, _) in COLOURS.items())
    rules = [
        f"{scope}{{--code-background:{LIGHT_BACKGROUND};{light_values}}}",
        f"{dark} {scope}{{--code-background:{DARK_BACKGROUND};{dark_values}}}",
    ]
    for name, (_, _, kinds) in COLOURS.items():
        selectors = ",".join(f"{scope} .{STANDARD_TYPES[kind]}" for kind in kinds)
        rules.append(f"{selectors}{{color:var(--code-{name})}}")
    return "\n".join(rules) + "\n"
