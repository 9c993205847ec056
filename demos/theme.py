"""How the page looks: one accent colour, one spacing scale, system fonts, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

CSS = Path(__file__).with_name("theme.css")
ACCENT = gr.themes.colors.indigo
NEUTRAL = gr.themes.colors.zinc
COLOURS: Mapping[str, str] = {
    "body_background_fill": "white",
    "body_background_fill_dark": NEUTRAL.c950,
    "body_text_color": NEUTRAL.c900,
    "body_text_color_dark": NEUTRAL.c100,
    "body_text_color_subdued": NEUTRAL.c600,
    "body_text_color_subdued_dark": NEUTRAL.c400,
    "block_info_text_color": NEUTRAL.c600,
    "block_info_text_color_dark": NEUTRAL.c400,
    "block_label_text_color": NEUTRAL.c700,
    "block_label_text_color_dark": NEUTRAL.c300,
    "block_title_text_color": NEUTRAL.c800,
    "block_title_text_color_dark": NEUTRAL.c200,
    "block_title_text_weight": "500",
    "block_border_width": "0px",
    "block_background_fill": "transparent",
    "block_background_fill_dark": "transparent",
    "block_padding": "0px",
    "block_shadow": "none",
    "border_color_primary": NEUTRAL.c300,
    "border_color_primary_dark": NEUTRAL.c700,
    "input_background_fill": "white",
    "input_background_fill_dark": NEUTRAL.c900,
    "input_border_width": "1px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_border_color": NEUTRAL.c300,
    "input_border_color_dark": NEUTRAL.c700,
    "input_placeholder_color": NEUTRAL.c500,
    "input_placeholder_color_dark": NEUTRAL.c400,
    "button_primary_background_fill": ACCENT.c600,
    "button_primary_background_fill_dark": ACCENT.c600,
    "button_primary_background_fill_hover": ACCENT.c700,
    "button_primary_background_fill_hover_dark": ACCENT.c500,
    "button_primary_text_color": "white",
    "button_secondary_background_fill": NEUTRAL.c100,
    "button_secondary_background_fill_dark": NEUTRAL.c800,
    "button_secondary_background_fill_hover": NEUTRAL.c200,
    "button_secondary_background_fill_hover_dark": NEUTRAL.c700,
    "button_cancel_background_fill": "#fef2f2",
    "button_cancel_background_fill_dark": "#450a0a",
    "button_cancel_background_fill_hover": "#fee2e2",
    "button_cancel_background_fill_hover_dark": "#7f1d1d",
    "button_cancel_text_color": "#991b1b",
    "button_cancel_text_color_dark": "#fecaca",
    "button_cancel_border_color": "#fca5a5",
    "button_cancel_border_color_dark": "#991b1b",
    "button_large_text_weight": "600",
    "link_text_color": ACCENT.c700,
    "link_text_color_dark": ACCENT.c300,
    "link_text_color_visited": ACCENT.c700,
    "link_text_color_visited_dark": ACCENT.c300,
    "slider_color": ACCENT.c600,
    "slider_color_dark": ACCENT.c400,
}


def theme() -> gr.themes.Base:
    """Gradio's base theme in indigo and zinc, with text and buttons at WCAG AA contrast in both modes."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    base = gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=NEUTRAL,
        font=fonts,
        font_mono=("ui-monospace", "Consolas", "monospace"),
        spacing_size="md",
        radius_size="md",
    )
    return base.set(**COLOURS)
