"""Makes scene.mp4, a camera's picture of a wall that two persons pass, from published portraits.

Standard library and ffmpeg only. What is to be seen when is written to scene.json from the same
numbers; README.md has the pictures' origins. Silent when all goes well.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "models" / "sources"
PORTRAITS = SOURCES / "face_recognition-1.3.0" / "tests" / "test_images"

WIDTH, HEIGHT, FPS = 1280, 720, 25
LOOP_SECONDS = 44
KEY_FRAME_SECONDS = 1
# A figure walks so many seconds from beyond one edge to beyond the other.
WALK_SECONDS = 10
# Walkers go up and down a little, this many pixels, so many times a second.
BOB_PIXELS, BOB_HZ = 5, 1.1

# Pixels of the picture: the outline that is cut out, clockwise from below left, and the face.
PERSONS = {
    "enrolled": {
        "picture": PORTRAITS / "obama.jpg",
        # Another portrait of the same man, to enrol him by.
        "portrait": PORTRAITS / "obama2.jpg",
        "size": (910, 1137),
        "height": 600,
        "face": (367, 84, 612, 416),
        "outline": [
            (200, 1137), (200, 1100), (110, 1090), (72, 1060), (50, 960), (70, 870), (95, 800),
            (128, 700), (150, 610), (190, 525), (300, 480), (370, 445), (402, 420), (403, 392),
            (385, 330), (378, 297), (358, 290), (342, 250), (337, 205), (355, 195), (357, 130),
            (375, 80), (420, 42), (490, 28), (560, 42), (605, 85), (625, 140), (625, 195),
            (642, 205), (638, 255), (618, 297), (605, 297), (600, 340), (582, 375), (600, 395),
            (630, 428), (700, 452), (780, 475), (825, 510), (843, 570), (838, 700), (832, 850),
            (800, 980), (752, 1062), (758, 1137),
        ],
    },
    "stranger": {
        "picture": SOURCES / "skimage" / "data" / "astronaut.png",
        "portrait": None,
        "size": (512, 512),
        "height": 620,
        "face": (178, 58, 268, 175),
        "outline": [
            (30, 512), (22, 450), (19, 400), (27, 340), (40, 290), (52, 260), (80, 232),
            (112, 212), (114, 192), (125, 175), (145, 155), (165, 149), (184, 149), (180, 131),
            (172, 127), (167, 117), (158, 105), (153, 75), (160, 58), (175, 46), (189, 39),
            (200, 26), (225, 16), (250, 17), (272, 27), (292, 47), (301, 75), (300, 100),
            (292, 120), (277, 129), (272, 136), (266, 140), (260, 155), (255, 172), (280, 192),
            (298, 215), (305, 240), (330, 250), (345, 270), (354, 300), (361, 335), (364, 347),
            (400, 344), (430, 348), (460, 370), (485, 405), (495, 440), (505, 465), (512, 490),
            (512, 512),
        ],
    },
}

# Who passes, from when on, and whither: one alone, the other alone, both one behind the other.
PASSAGES = [
    ("enrolled", 1, "right"),
    ("stranger", 13, "left"),
    ("enrolled", 26, "right"),
    ("stranger", 30, "right"),
]


def main():
    with tempfile.TemporaryDirectory() as directory:
        film = Path(directory) / "scene.mp4"
        draw(Path(directory), film)
        # At once or not at all: half a film must not pass for one.
        waiting = HERE / ".scene.mp4.part"
        waiting.write_bytes(film.read_bytes())
        os.replace(waiting, HERE / "scene.mp4")
    (HERE / "scene.json").write_text(json.dumps(script(), indent=2) + "\n")


def script():
    """What is to be seen when, in seconds of the film and pixels of its picture."""
    persons = {
        name: {"portrait": str(person["portrait"].relative_to(HERE.parent))}
        for name, person in PERSONS.items()
        if person["portrait"]
    }
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": FPS,
        "seconds": LOOP_SECONDS,
        "persons": persons,
        "passages": [passage(*walk) for walk in PASSAGES],
    }


def passage(name, start, towards):
    """The first and the last moment of a walk at which the whole face is in the picture."""
    left, top, right, bottom = face(name)
    width, height = right - left, bottom - top
    speed = (WIDTH + figure(name)[0]) / WALK_SECONDS
    y = HEIGHT - figure(name)[1] + BOB_PIXELS + top
    at_left = {"left": 0, "top": y, "width": width, "height": height}
    at_right = {**at_left, "left": WIDTH - width}
    if towards == "right":
        moments = [(figure(name)[0] - left) / speed, (WIDTH - width + figure(name)[0] - left) / speed]
        boxes = [at_left, at_right]
    else:
        moments = [(right) / speed, (WIDTH + left) / speed]
        boxes = [at_right, at_left]
    ends = [
        {"seconds": round(start + moment, 3), "face": {key: round(value, 1) for key, value in box.items()}}
        for moment, box in zip(moments, boxes)
    ]
    return {
        "person": name,
        "from": start,
        "to": start + WALK_SECONDS,
        "whole": {"first": ends[0], "last": ends[1]},
    }


def figure(name):
    """Width and height of a figure in the film; even, as the film's colours want."""
    person = PERSONS[name]
    width, height = person["size"]
    return 2 * round(width * person["height"] / height / 2), person["height"]


def face(name):
    """A face's edges within the figure, in pixels of the film."""
    scale = figure(name)[1] / PERSONS[name]["size"][1]
    return [edge * scale for edge in PERSONS[name]["face"]]


def draw(directory, film):
    """Lets ffmpeg put the figures before the wall."""
    inputs = ["-i", SOURCES / "skimage" / "data" / "brick.png"]
    # Rows of bricks, in the light of a lamp in their middle.
    filters = [
        f"[0]transpose=1,scale={WIDTH}:-2,crop={WIDTH}:{HEIGHT},format=gray,format=rgb24,"
        "lutrgb=r='val*1.0+22':g='val*0.92+18':b='val*0.84+14',vignette=PI/5,format=yuv420p[wall]"
    ]
    for index, name in enumerate(PERSONS):
        mask = directory / f"{name}.pgm"
        mask.write_bytes(silhouette(PERSONS[name]))
        inputs += ["-i", PERSONS[name]["picture"], "-i", mask]
        width, height = figure(name)
        uses = [f"[{name}{number}]" for number, walk in enumerate(PASSAGES) if walk[0] == name]
        filters += [
            f"[{2 * index + 1}]scale={width}:{height},format=rgb24[{name}]",
            f"[{2 * index + 2}]scale={width}:{height},format=gray,gblur=sigma=1.2[{name}-mask]",
            f"[{name}][{name}-mask]alphamerge,format=yuva420p,split={len(uses)}{''.join(uses)}",
        ]
    filters.append(f"[wall]loop=-1:1,fps={FPS},trim=duration={LOOP_SECONDS}[film0]")
    for number, (name, start, towards) in enumerate(PASSAGES):
        width, height = figure(name)
        speed = (WIDTH + width) / WALK_SECONDS
        way = f"{speed}*(t-{start})"
        x = f"{way}-{width}" if towards == "right" else f"{WIDTH}-{way}"
        y = f"{HEIGHT - height + BOB_PIXELS}+{BOB_PIXELS}*sin({2 * math.pi * BOB_HZ}*t)"
        when = f"between(t,{start},{start + WALK_SECONDS})"
        filters.append(
            f"[{name}{number}]loop=-1:1,fps={FPS}[walker{number}];"
            f"[film{number}][walker{number}]overlay=x='{x}':y='{y}':enable='{when}':shortest=1"
            f"[film{number + 1}]"
        )
    key_frames = FPS * KEY_FRAME_SECONDS
    command = [
        "ffmpeg", "-v", "error", "-y", *inputs,
        "-filter_complex", ";".join(filters), "-map", f"[film{len(PASSAGES)}]",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-profile:v", "main",
        "-pix_fmt", "yuv420p", "-bf", "0", "-g", key_frames, "-keyint_min", key_frames,
        "-sc_threshold", "0", "-threads", "2", "-movflags", "+faststart", "-fflags", "+bitexact",
        film,
    ]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def silhouette(person):
    """The outline's inside in white on black, as a PGM picture."""
    width, height = person["size"]
    outline = person["outline"]
    edges = list(zip(outline, outline[1:] + outline[:1]))
    rows = bytearray()
    for row in range(height):
        y = row + 0.5
        crossings = sorted(
            x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            for (x0, y0), (x1, y1) in edges
            if (y0 <= y) != (y1 <= y)
        )
        line = bytearray(width)
        for left, right in zip(crossings[::2], crossings[1::2]):
            first, last = round(left), min(round(right), width)
            line[first:last] = b"\xff" * (last - first)
        rows += line
    return b"P5 %d %d 255\n" % (width, height) + bytes(rows)


if __name__ == "__main__":
    sys.exit(main())
