#!/bin/sh
# Makes the fixtures of ffmpeg, mkvmerge and GStreamer anew, and the list of checksums.
# Needs ffmpeg (with libx264, libopus), mkvtoolnix, and GStreamer's good, bad and ugly plugins.
# Encoders differ between versions: after a run, rewrite the goldens too (README.md).
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ff() { ffmpeg -nostdin -loglevel error -y -fflags +bitexact "$@"; }
picture="testsrc2=size=160x90:rate=10:duration=2"
tone="sine=frequency=440:sample_rate=16000:duration=2"
h264="-c:v libx264 -preset veryfast -crf 40 -g 10 -flags +bitexact"
aac="-c:a aac -b:a 16k -flags +bitexact"

# shellcheck disable=SC2086 # the option lists are meant to be split
{
# Segment and clusters with sizes, SeekHead, Void, CRC-32, Cues at the end, B-frames.
ff -f lavfi -i "$picture" -f lavfi -i "$tone" $h264 $aac -bf 2 -cluster_time_limit 500 \
    ffmpeg-h264_aac-sized_clusters.mkv
# The same with the Cues in front.
ff -i ffmpeg-h264_aac-sized_clusters.mkv -c copy -cluster_time_limit 500 -cues_to_front 1 \
    ffmpeg-h264_aac-cues_in_front.mkv
# A live stream into a pipe: Segment of unknown size, no Cues, no SeekHead, no CRC-32.
ff -i ffmpeg-h264_aac-sized_clusters.mkv -c copy -live 1 -write_crc32 0 -f matroska - \
    > ffmpeg-h264_aac-live.mkv
# Opus: CodecDelay, a first block before the cluster's time, DiscardPadding in BlockGroups.
ff -f lavfi -i "sine=frequency=440:sample_rate=48000:duration=1" -c:a libopus -b:a 12k \
    -f webm ffmpeg-opus-codec_delay.mkv

merge() { out=$1; shift; mkvmerge --quiet --deterministic 1 --output "$out" "$@"; }
source=ffmpeg-h264_aac-sized_clusters.mkv
# Laced audio, statistics tags at the end, small clusters, EBMLVoid.
merge mkvmerge-h264_aac-laced.mkv --cluster-length 500ms "$source"
# BlockGroups only, a tick of 0.1 ms.
merge mkvmerge-h264_aac-block_groups.mkv --engage no_simpleblocks --timestamp-scale 100000 \
    "$source"
# Chapters and an attachment.
printf 'CHAPTER01=00:00:00.000\nCHAPTER01NAME=start\n' > "$work/chapters.txt"
merge mkvmerge-h264-chapters_attachment.mkv --no-audio --chapters "$work/chapters.txt" \
    --attach-file "$work/chapters.txt" "$source"
# Frames packed with zlib, which the reader refuses.
merge mkvmerge-h264-zlib.mkv --no-audio --compression 0:zlib "$source"

# GStreamer's live form.
gst-launch-1.0 -q videotestsrc num-buffers=20 ! video/x-raw,width=160,height=90,framerate=10/1 \
    ! x264enc key-int-max=10 bitrate=64 bframes=2 ! h264parse ! matroskamux name=mux streamable=true \
    ! filesink location=gstreamer-h264_opus-streamable.mkv \
    audiotestsrc num-buffers=50 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=1 \
    ! opusenc bitrate=12000 ! mux.
}

sha256sum -- *.mkv > SHA256SUMS
ls -l -- *.mkv
