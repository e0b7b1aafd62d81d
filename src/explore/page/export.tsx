// Takes things along: a link to this moment, pictures as SVG or PNG, the frames as pcapng.

import { useState } from "preact/hooks";
import { encodeState } from "../machine/index.js";
import type { Session } from "./session.js";
import { writeRoute } from "./url.js";

export function ExportMenu({ session }: { session: Session }) {
  const [said, setSaid] = useState("");
  const link = () => {
    const route = writeRoute({ page: "lab", state: encodeState(session.machine.state) });
    return new URL(route, location.href.replace(/[?#].*$/, "")).href;
  };
  const copy = async (text: string, what: string) => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid(`${what} is in the clipboard.`);
    } catch {
      // Without https or permission there is no clipboard: then it stands here to be copied by hand.
      setSaid(text);
    }
  };
  const frame = () => {
    const queues = [...document.querySelectorAll(".stage .ring-figure[aria-label]")].map(
      (figure) => figure.getAttribute("aria-label")!,
    );
    const url = link().replace("#", `?figure=${queues.filter((name) => name.includes(".")).join(",")}#`);
    return `<iframe src="${url}" width="760" height="520" style="border:0" title="A virtqueue, step by step"></iframe>`;
  };
  return (
    <details class="menu export">
      <summary>Share and export</summary>
      <div class="panel">
        <button type="button" onClick={() => copy(link(), "The link to this moment")}>
          Copy a link to this moment
        </button>
        <button type="button" onClick={() => copy(frame(), "The frame")}>
          Copy HTML to embed it
        </button>
        <button type="button" onClick={() => eachPicture((svg, name) => save(`${name}.svg`, svgFile(svg)))}>
          Pictures as SVG
        </button>
        <button type="button" onClick={() => eachPicture(async (svg, name) => save(`${name}.png`, await pngFile(svg)))}>
          Pictures as PNG
        </button>
        <button
          type="button"
          onClick={() => save("explorer.pcapng", session.machine.pcapng() as Uint8Array<ArrayBuffer>)}
        >
          Frames as pcapng
        </button>
        {said && (
          <p class="note said" role="status">
            {said}
          </p>
        )}
      </div>
    </details>
  );
}

function eachPicture(work: (svg: SVGSVGElement, name: string) => unknown): void {
  for (const figure of document.querySelectorAll(".stage .ring-figure")) {
    const svg = figure.querySelector("svg");
    if (svg) work(svg, (figure.getAttribute("aria-label") ?? "ring").replaceAll(/[^\w.]+/g, "-"));
  }
}

/** What of the style sheet a picture by itself needs. */
const STYLES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "font-family",
  "font-size",
  "font-weight",
  "opacity",
  "text-anchor",
] as const;

/** The picture with its styles in it, so that it looks the same anywhere. */
export function svgFile(svg: SVGSVGElement): Blob {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  for (const [i, original] of originals.entries()) {
    const style = getComputedStyle(original);
    for (const name of STYLES) copies[i]!.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "data-at", "data-lit"]) copies[i]!.removeAttribute(name);
  }
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({
    width: "100%",
    height: "100%",
    fill: getComputedStyle(document.body).backgroundColor,
  })) {
    ground.setAttribute(name, value);
  }
  copy.prepend(ground);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

async function pngFile(svg: SVGSVGElement): Promise<Blob> {
  const scale = 2;
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(await svgFile(svg).text())}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = svg.clientWidth * scale;
  canvas.height = svg.clientHeight * scale;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser makes no PNG of it"))), "image/png");
  });
}

function save(name: string, content: Blob | Uint8Array<ArrayBuffer>): void {
  const blob = content instanceof Blob ? content : new Blob([content], { type: "application/octet-stream" });
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
