import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Findings, ShownFace } from "./findings";

interface Props {
  video: RefObject<HTMLVideoElement | null>;
  /** The time of the picture on screen, milliseconds since the epoch. */
  playingMs: () => number | null;
  findings: Findings;
}

/** What of the video element is picture, in its pixels: the rest is black beside it. */
interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A box with a name around each face of the picture on screen. */
export function Boxes({ video, playingMs, findings }: Props) {
  const [shown, setShown] = useState<{ faces: ShownFace[]; area: Area } | null>(null);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame = requestAnimationFrame(draw);
      const ms = playingMs();
      const area = video.current && pictureArea(video.current);
      const faces = ms !== null && area ? findings.at(ms) : [];
      setShown((before) => {
        if (faces.length === 0 || !area) return null;
        const same = before && JSON.stringify(before) === JSON.stringify({ faces, area });
        return same ? before : { faces, area };
      });
    };
    draw();
    return () => cancelAnimationFrame(frame);
  }, [video, playingMs, findings]);
  if (!shown) return null;
  const { faces, area } = shown;
  return (
    <div class="boxes" aria-hidden="true">
      {faces.map(({ track, label, known, box }) => (
        <div
          key={track}
          class={known ? "box known" : "box"}
          style={{
            transform: `translate(${area.left + box.Left * area.width}px, ${area.top + box.Top * area.height}px)`,
            width: `${box.Width * area.width}px`,
            height: `${box.Height * area.height}px`,
          }}
        >
          <span>{label}</span>
        </div>
      ))}
    </div>
  );
}

function pictureArea(video: HTMLVideoElement): Area | null {
  const { clientWidth, clientHeight, videoWidth, videoHeight } = video;
  if (videoWidth === 0 || clientWidth === 0) return null;
  const scale = Math.min(clientWidth / videoWidth, clientHeight / videoHeight);
  const [width, height] = [videoWidth * scale, videoHeight * scale];
  return { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
}
