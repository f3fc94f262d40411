"""`deeppose data add` and `deeppose data remove`: the user's own labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deeppose_cli.cli.options import DataRootOption
from deeppose_cli.config.defaults import DATA_ROOT

if TYPE_CHECKING:
    from deeppose_cli.data.datasets.own import AddedDataset

FILES, DIVIDE, SKELETON, PLACE = "What to add", "How to divide it", "Skeleton", "Where it goes"


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new data set.")],
    annotations: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="File of labels, or the folder of a data.yaml; may be given more than once.",
            rich_help_panel=FILES,
        ),
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the training people.", rich_help_panel=FILES)
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the validation people.", rich_help_panel=FILES)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the test people.", rich_help_panel=FILES)
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder below which the images are. Default: beside the file, or where it says.",
            rich_help_panel=FILES,
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="NAME", help="Category, if several have keypoints.", rich_help_panel=FILES)
    ] = None,
    box: Annotated[
        Literal["image", "labels"] | None,
        typer.Option(
            help="Initial box: the image, or around the keypoints. Default: the file's; without one, the image, or "
            "labels if an image shows several people.",
            rich_help_panel=FILES,
        ),
    ] = None,
    validation_share: Annotated[
        float, typer.Option(metavar="X", help="Share of the people for validation.", rich_help_panel=DIVIDE)
    ] = 0.15,
    test_share: Annotated[
        float, typer.Option(metavar="X", help="Share of the people for the test.", rich_help_panel=DIVIDE)
    ] = 0.0,
    split_by: Annotated[
        Literal["image", "folder", "video"],
        typer.Option(help="What is never divided between two splits.", rich_help_panel=DIVIDE),
    ] = "image",
    joints: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Names of the keypoints, if a data.yaml has no kpt_names.", rich_help_panel=SKELETON
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:B",
            help="Keypoints that change places in a mirrored image. Default: the file's, else by left and right in the "
            "names.",
            rich_help_panel=SKELETON,
        ),
    ] = None,
    scale_by: Annotated[
        str | None,
        typer.Option(
            metavar="A:B|box",
            help="Keypoints whose distance is the unit of scores and crops, or box: the pose's diagonal. Default: "
            "left_shoulder:right_hip if the set has both, else box.",
            rich_help_panel=SKELETON,
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="One line about the set.", rich_help_panel=PLACE)
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the images. Default: links to them.", rich_help_panel=PLACE)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a set of that name.", rich_help_panel=PLACE)
    ] = False,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Add your own labelled images as a data set.

    Files of labels: a .json of COCO keypoints, a .csv of DeepLabCut or Lightning Pose, the data.yaml of a
    YOLO-pose set. Crowds, and people without a labelled keypoint, are left out.
    """
    from deeppose_cli.data.datasets.own import add_dataset

    added = add_dataset(
        name,
        annotations or [],
        train=train,
        validation=validation,
        test=test,
        images=images,
        validation_share=validation_share,
        test_share=test_share,
        split_by=split_by,
        copy=copy,
        joints=[name.strip() for name in joints.split(",")] if joints else [],
        mirror=mirror or [],
        scale_by=scale_by,
        box=box,
        category=category,
        title=title,
        overwrite=overwrite,
        data_root=data_root,
    )
    for line in describe(added):
        print(line)


def describe(added: AddedDataset) -> list[str]:
    """What was added and what to type next, for the terminal."""
    skeleton, spec = added.spec.skeleton, added.spec
    counts = ", ".join(
        f"{split} {people:,} people in {images:,} images" for split, (images, people) in added.counts.items()
    )
    pairs = ", ".join(":".join(pair) for pair in skeleton.mirror_pairs or ())
    scale = "the diagonal of the pose's box" if skeleton.scale_by is None else ":".join(skeleton.scale_by)
    lines = [
        f"{spec.name} is in {added.folder}: {counts}",
        f"keypoints: {', '.join(skeleton.joints)}",
        f"mirror pairs: {pairs or 'none: a mirrored image swaps nothing'}",
        f"unit of scores and crops: {scale}; initial box: {spec.initial_box}; edit: {added.folder / 'dataset.yaml'}",
    ]
    if added.crowds or added.unlabelled:
        lines.append(f"left out: {added.crowds:,} crowds, {added.unlabelled:,} people without a labelled keypoint")
    if added.outside:
        lines.append(f"{added.outside:,} labels are outside of their image; they are kept")
    return [*lines, f"next: deeppose data show {spec.name}, then deeppose train --stage 1 --data {spec.name}"]


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set to delete.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without a question.")] = False,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Delete a data set's folder. Files that its images are links to stay."""
    from deeppose_cli.data.datasets.own import remove_dataset

    if not yes:
        typer.confirm(f"Delete {data_root / name}?", abort=True)
    print(f"{remove_dataset(name, data_root=data_root)} is deleted")
