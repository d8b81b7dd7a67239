"""Pieces of Markdown and HTML from which tests put texts together."""

# Beside these, whole words make a text of which no word may be lost.
MARKS = [
    " ", "\n", "\n\n", "\n    ", "- ", "1. ", "> ", "# ", "```\n", "~~~\n", "`", "**", "*", "_", "~~", "$", "$$", "\\(",
    "\\)", "\n\\[\n", "\n\\]\n", "\\", "|", "\n|-|-|\n", "| ", "[", "]", "![", "<b>", "</b>", "<details>", "</details>",
    "<summary>", "</summary>", "<br>", "<ul>", "<li>", "</ul>", "<img src=x>", "<!--", "-->", "<div>", "\n---\n", "\t",
    "\n===\n", "\u2028", "مرحبا", "🙂", "）**是", "是**「", "**是", "。",
    "&amp;", "- [ ] ", "\\begin{align}", "\\end{align}", "</p>", "<td>", "\n+ ",
]  # fmt: skip
# Those that take words for something else: an address, a label, an attribute, the name of a language.
DEFINITIONS = [
    "[x]", "[x]: /u", "[x]: http://a.b 'ti", "tle'", "(http://a.b)", "[^1]", "[^1]: n", "[^a]", "\n[^a]: ", "[^1]:\n",
    "<http://x.y>", "<a:b>", "http://a.b/c", "www.a.de", "x@y.zz", "```py\n", "<abbr title='q'>", "</abbr>", "<script>",
    "</script>", "\r\n", "\r", "\0", "\ud800", "\x01", "\x0c", "5", "0", "import os\n", "| a | b |\n", "\xa0", "\\$",
]  # fmt: skip
