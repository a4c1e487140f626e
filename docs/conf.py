"""Configuration of the documentation site: ``sphinx-build -W -b html docs build/site``."""

from scaleplan import __version__

project = "scaleplan"
author = "the scaleplan developers"
copyright = f"2026, {author}"  # noqa: A001  the name that Sphinx reads
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns: list[str] = []
root_doc = "index"

nb_execution_mode = "off"  # the outputs are stored, and a test runs the cells

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # output of commands stands in console blocks

autodoc_typehints = "none"  # the signature has them
napoleon_google_docstring = False

html_theme = "furo"
html_title = "scaleplan"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
