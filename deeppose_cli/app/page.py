"""The page: its controls, and what happens when they are used. Needs Gradio, which the extra `app` installs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from deeppose_cli.app.session import BOXES, Result, Settings, find_poses
from deeppose_cli.config.defaults import MIN_CONFIDENCE
from deeppose_cli.core.errors import DeepPoseError, one_line

TITLE = "DeepPose"
COLUMNS = ("person", "joint", "x", "y", "confidence")
ALL = "all"
STYLE = """
#summary { min-height: 2.2em; }
#overlay img { max-height: 75vh; object-fit: contain; }
footer { display: none !important; }
#stages .grid-container { grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)) !important; }
@media (max-width: 760px) {
  #inputs { display: contents; }
  #outputs { order: 1; }
  #settings { order: 2; }
}
"""
"""On small screens the poses come before the settings."""
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
"""Without fonts from other servers."""
_PROGRESS = gr.Progress()
"""Gradio gives each call its own where this is the default."""
_INTRODUCTION = """# DeepPose
Drop an image or a video: everyone in it gets a pose. Nothing leaves this computer. An upload is deleted when the next
one comes or the page is closed."""


def build_page(models: Sequence[str], model: str, examples: Sequence[Path], folder: Path, runs_root: Path) -> gr.Blocks:
    """Build the page. `folder`: where results are kept until the server stops."""
    kept = {str(file) for file in examples}

    def delete(upload: str | None) -> None:
        if upload is not None and upload not in kept:
            Path(upload).unlink(missing_ok=True)

    def run(
        upload: str | None,
        model: str,
        box: str,
        stage: str,
        confidence: float,
        flip: bool,
        names: bool,
        progress: gr.Progress = _PROGRESS,
    ) -> list[Any]:
        """The outputs for an upload."""
        if upload is None:
            return _nothing("")
        settings = Settings(model, box, None if stage == ALL else int(stage), confidence, flip, names)
        file = Path(upload)
        try:
            results = Path(tempfile.mkdtemp(dir=folder))
            found = find_poses(file, settings, results, runs_root, lambda done, total: progress((done, total)))
        except DeepPoseError as error:
            return _nothing(f"⚠ {one_line(str(error)).replace(str(file), file.name)}")
        return _shown(found)

    def take(upload: str | None, previous: str | None, *settings: Any) -> list[Any]:
        if previous != upload:
            delete(previous)
        return [upload, *run(upload, *settings)]

    def take_example(event: gr.SelectData, previous: str | None, *settings: Any) -> list[Any]:
        return take(str(examples[event.index]), previous, *settings)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        current = gr.State(None, delete_callback=delete)
        gr.Markdown(_INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=300, elem_id="inputs"):
                with gr.Tab("File"):
                    upload = gr.File(label="Image or video", type="filepath", elem_id="upload", height=150)
                with gr.Tab("Webcam"):
                    webcam = gr.Image(label="Webcam", sources=["webcam"], type="filepath", elem_id="webcam")
                gallery = gr.Gallery(
                    [str(file) for file in examples],
                    label="Examples",
                    show_label=False,
                    columns=len(examples),
                    height=130,
                    allow_preview=False,
                    elem_id="examples",
                    buttons=[],
                )
                with gr.Group(elem_id="settings"):
                    controls = _controls(models, model)
            with gr.Column(scale=2, min_width=300, elem_id="outputs"):
                outputs = _outputs()
        # Animations over every output take a core from the networks where no GPU draws the page.
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        for event, source in ((upload.upload, upload), (upload.clear, upload), (webcam.input, webcam)):
            event(take, [source, current, *controls], [current, *outputs], **private)
        gallery.select(take_example, [current, *controls], [current, *outputs], **private)
        for control in controls:
            # Of many changes while a prediction runs, as by a dragged slider, the last counts.
            control.input(run, [current, *controls], outputs, trigger_mode="always_last", **private)
    return page


def _controls(models: Sequence[str], model: str) -> list[Any]:
    return [
        gr.Dropdown(list(models), value=model, label="Model", elem_id="model"),
        gr.Radio(list(BOXES), value=BOXES[0], label="Where the people are", elem_id="box"),
        gr.Radio([ALL, "1", "2", "3"], value=ALL, label="Last stage", elem_id="stage"),
        gr.Slider(0, 1, MIN_CONFIDENCE, step=0.05, label="Least confidence", elem_id="confidence"),
        gr.Checkbox(False, label="Flip test: more accurate, half as fast", elem_id="flip"),
        gr.Checkbox(False, label="Names of the joints", elem_id="names"),
    ]


def _outputs() -> list[Any]:
    summary = gr.Markdown("", elem_id="summary")
    overlay = gr.Image(label="Poses", elem_id="overlay", interactive=False, buttons=["fullscreen"])
    video = gr.Video(label="Poses", elem_id="video", visible=False, interactive=False)
    with gr.Row():
        downloads = [
            gr.DownloadButton(f"Download {kind}", elem_id=f"download-{kind}", interactive=False, size="sm")
            for kind in ("overlay", "JSON", "CSV")
        ]
    stages = gr.Gallery(
        label="Stages and what they see", columns=4, height=280, elem_id="stages", object_fit="contain", buttons=[]
    )
    table = gr.Dataframe(headers=list(COLUMNS), interactive=False, label="Joints, px", elem_id="table")
    return [summary, overlay, video, stages, table, *downloads]


def _shown(found: Result) -> list[Any]:
    files = (found.overlay, found.json, found.csv)
    return [
        f"**{found.summary}**",
        gr.Image(None if found.is_video else str(found.overlay), visible=not found.is_video),
        gr.Video(str(found.overlay) if found.is_video else None, visible=found.is_video),
        [(str(file), caption) for file, caption in found.stages],
        found.table,
        *(gr.DownloadButton(value=str(file), interactive=True) for file in files),
    ]


def _nothing(message: str) -> list[Any]:
    downloads = [gr.DownloadButton(value=None, interactive=False) for _ in range(3)]
    return [message, gr.Image(None, visible=True), gr.Video(None, visible=False), [], [], *downloads]
