/** A part of a picture, in its own units from the upper left corner; colours as CSS has them. */
export type Shape =
  | { kind: 'rect'; x: number; y: number; width: number; height: number; fill: string }
  /** `d` as in SVG, moved to (x, y). */
  | { kind: 'path'; x: number; y: number; d: string; fill?: string; stroke?: string }
  | { kind: 'text'; x: number; y: number; text: string; fill: string; bold?: boolean; end?: boolean };

/** A picture that is made to be kept: the same as SVG and as PNG. */
export interface Drawing {
  width: number;
  height: number;
  background: string;
  shapes: Shape[];
}

const fontSize = 12;
const font = 'system-ui, sans-serif';
/** Pixels of a PNG for a unit of the drawing: sharp in print too. */
const density = 2;

/** The picture as an SVG file. */
export function drawingSvg({ width, height, background, shapes }: Drawing): string {
  const size = `width="${width}" height="${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}" font-family="${font}" font-size="${fontSize}">`,
    `<rect ${size} fill="${background}"/>`,
    ...shapes.map(svgShape),
    '</svg>\n',
  ].join('\n');
}

/** An SVG file that holds a PNG: of a picture that is made of pixels anyway. */
export function imageSvg(png: string, width: number, height: number): string {
  const size = `width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>\n<image ${size} href="data:image/png;base64,${png}"/>\n</svg>\n`;
}

/** The picture as a PNG file in base64; undefined where the browser gives no canvas. */
export function drawingPng({ width, height, background, shapes }: Drawing): string | undefined {
  const canvas = document.createElement('canvas');
  canvas.width = width * density;
  canvas.height = height * density;
  const context = canvas.getContext('2d');
  if (context === null) return undefined;
  context.scale(density, density);
  context.fillStyle = background;
  context.fillRect(0, 0, width, height);
  for (const shape of shapes) paint(context, shape);
  return pngOf(canvas);
}

/** What a canvas shows as a PNG file in base64. */
export function pngOf(canvas: HTMLCanvasElement): string | undefined {
  return canvas.toDataURL('image/png').split(',')[1];
}

function svgShape(shape: Shape): string {
  switch (shape.kind) {
    case 'rect': {
      const { x, y, width, height, fill } = shape;
      return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}"/>`;
    }
    case 'path': {
      const { x, y, d, fill = 'none', stroke } = shape;
      const line = stroke === undefined ? '' : ` stroke="${stroke}"`;
      return `<path transform="translate(${x} ${y})" d="${d}" fill="${fill}"${line}/>`;
    }
    case 'text': {
      const { x, y, text, fill, bold, end } = shape;
      const more = `${bold === true ? ' font-weight="600"' : ''}${end === true ? ' text-anchor="end"' : ''}`;
      return `<text x="${x}" y="${y}" fill="${fill}"${more}>${escape(text)}</text>`;
    }
  }
}

function paint(context: CanvasRenderingContext2D, shape: Shape): void {
  switch (shape.kind) {
    case 'rect':
      context.fillStyle = shape.fill;
      context.fillRect(shape.x, shape.y, shape.width, shape.height);
      return;
    case 'path': {
      context.save();
      context.translate(shape.x, shape.y);
      const path = new Path2D(shape.d);
      if (shape.fill !== undefined) {
        context.fillStyle = shape.fill;
        context.fill(path);
      }
      if (shape.stroke !== undefined) {
        context.strokeStyle = shape.stroke;
        context.stroke(path);
      }
      context.restore();
      return;
    }
    case 'text':
      context.font = `${shape.bold === true ? '600 ' : ''}${fontSize}px ${font}`;
      context.textAlign = shape.end === true ? 'end' : 'start';
      context.fillStyle = shape.fill;
      context.fillText(shape.text, shape.x, shape.y);
  }
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
