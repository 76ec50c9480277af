// x ⊙ g in whole numbers of 16 bits, as the 1-bit products read it: of each word of 32 inputs the largest is 32512, and
// input = scale · (256 · high + low), high and low of 8 bits with a sign. A byte each of four inputs, 8 apart, are a word of
// memory, because one shift and one mask bring their signs there. Stored as [copy, MAX_ROWS, 5, WORDS, 4]: two times four words
// of high bytes, two of low ones, and last the scale and the sum of the 32 numbers.
alias Scaled = u32;

const LARGEST: f32 = 32512.0;

var<workgroup> quadSizes: array<f32, COPIES * WORKGROUP>;
var<workgroup> quadSums: array<i32, COPIES * WORKGROUP>;

/// The inputs that one lane stores: eight lanes have a word of 32.
fn quadInputs(quad: u32) -> vec4u {
  return (quad / 8u) * 32u + quad % 8u + vec4u(0u, 8u, 16u, 24u);
}

/// Stores COPIES of x ⊙ g of a quad. Every lane of the workgroup has to come here, and `isInside` says which have a quad;
/// inputs beyond the last are to be zero. Quads of neighbouring lanes are neighbours, the first a multiple of eight.
fn storeQuad(row: u32, quad: u32, isInside: bool, values: array<vec4f, COPIES>, lane: u32) {
  for (var copy = 0u; copy < COPIES; copy++) {
    let sizes = abs(values[copy]);
    quadSizes[copy * WORKGROUP + lane] = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  }
  workgroupBarrier();
  let word = lane - lane % 8u;
  var scales = array<f32, COPIES>();
  var numbers = array<vec4i, COPIES>();
  for (var copy = 0u; copy < COPIES; copy++) {
    var largest = 0.0;
    for (var i = 0u; i < 8u; i++) {
      largest = max(largest, quadSizes[copy * WORKGROUP + word + i]);
    }
    // A word of zeros has the scale 0; one so small that its inverse is no number counts as such.
    scales[copy] = select(0.0, largest / LARGEST, largest > 1e-30);
    let inverse = select(0.0, LARGEST / largest, largest > 1e-30);
    numbers[copy] = vec4i(round(clamp(values[copy] * inverse, vec4f(-LARGEST), vec4f(LARGEST))));
    let own = numbers[copy];
    quadSums[copy * WORKGROUP + lane] = own.x + own.y + own.z + own.w;
  }
  workgroupBarrier();
  if (!isInside) {
    return;
  }
  let step = (quad % 8u) / 4u;
  let at = quad / 8u;
  for (var copy = 0u; copy < COPIES; copy++) {
    let high = (numbers[copy] + 128) >> vec4u(8u);
    let start = (copy * MAX_ROWS + row) * 5u;
    scaled[((start + step) * WORDS + at) * 4u + quad % 4u] = pack4xI8(high);
    scaled[((start + 2u + step) * WORDS + at) * 4u + quad % 4u] = pack4xI8(numbers[copy] - 256 * high);
    if (quad % 8u == 0u) {
      var sum = 0;
      for (var i = 0u; i < 8u; i++) {
        sum += quadSums[copy * WORKGROUP + word + i];
      }
      let last = ((start + 4u) * WORDS + at) * 4u;
      scaled[last] = bitcast<u32>(scales[copy]);
      scaled[last + 1u] = bitcast<u32>(sum);
    }
  }
}
