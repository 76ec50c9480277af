// Draws media/icon.png: a matrix of signs with its two value vectors, h on the left and g on top.
// Run it after changing it; the picture is committed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';

const size = 128;
const scale = 4; // drawn larger, then averaged, for smooth edges
const signs = ['+-++-+', '-++-+-', '++-+-+', '-+-++-', '+-+--+', '-++-++'];
const colours = {
  none: [0, 0, 0, 0],
  ground: [24, 30, 44, 255],
  plus: [92, 200, 255, 255],
  minus: [48, 64, 94, 255],
  vector: [255, 184, 76, 255],
};

/** Whether a point lies in a square of side `side` at (x, y) with rounded corners. */
function inside(px, py, x, y, side, radius) {
  const dx = Math.max(x + radius - px, 0, px - (x + side - radius));
  const dy = Math.max(y + radius - py, 0, py - (y + side - radius));
  return px >= x && py >= y && px <= x + side && py <= y + side && Math.hypot(dx, dy) <= radius;
}

function colourAt(x, y) {
  if (!inside(x, y, 0, 0, size, 24)) return colours.none;
  const cell = 15;
  const [column, row] = [Math.floor((x - 12) / cell), Math.floor((y - 12) / cell)];
  const onCell = inside(x, y, 12 + column * cell + 1, 12 + row * cell + 1, cell - 2, 3);
  if (!onCell || column < 0 || row < 0 || column > 6 || row > 6 || (column === 0 && row === 0)) {
    return colours.ground;
  }
  if (column === 0 || row === 0) return colours.vector;
  return signs[row - 1][column - 1] === '+' ? colours.plus : colours.minus;
}

const rows = Buffer.alloc(size * (1 + 4 * size));
for (let y = 0; y < size; y++) {
  for (let x = 0; x < size; x++) {
    const sum = [0, 0, 0, 0];
    for (let i = 0; i < scale * scale; i++) {
      const colour = colourAt(x + ((i % scale) + 0.5) / scale, y + (Math.floor(i / scale) + 0.5) / scale);
      const alpha = colour[3] / 255;
      for (let c = 0; c < 3; c++) sum[c] += colour[c] * alpha;
      sum[3] += alpha;
    }
    const at = y * (1 + 4 * size) + 1 + 4 * x;
    for (let c = 0; c < 3; c++) rows[at + c] = sum[3] === 0 ? 0 : Math.round(sum[c] / sum[3]);
    rows[at + 3] = Math.round((255 * sum[3]) / (scale * scale));
  }
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

const header = Buffer.alloc(13);
header.writeUInt32BE(size, 0);
header.writeUInt32BE(size, 4);
header.set([8, 6, 0, 0, 0], 8); // 8 bits, RGBA
const media = join(dirname(fileURLToPath(import.meta.url)), '..', 'media');
mkdirSync(media, { recursive: true });
writeFileSync(
  join(media, 'icon.png'),
  Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]),
);
