import type { StudentRecipe } from '../../protocol/recipe.ts';
import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

export interface SignLinearOptions {
  /** Added to the variance in LayerNorm; the paper's code has 1e-5. */
  eps?: number;
  /**
   * How the gradient passes Sign: unchanged (`plain`), times 1.001 - tanh(latent)² as the authors' code
   * does (`tanh`), or unchanged where |latent| ≤ 1 and 0 elsewhere (`clipped`: Courbariaux et al. 2016).
   */
  straightThrough?: StudentRecipe['straightThrough'];
}

/**
 * The OneBit layer (the paper's equation 3 and its post-LayerNorm):
 * Y = LayerNorm([(X ⊙ g) Sᵀ] ⊙ h), S = Sign(latent), Sign(0) = +1. LayerNorm runs over `out` and has no
 * gain or bias; a layer's own bias is added by the caller.
 *
 * @param x [n, in] f32
 * @param latent [out, in] f32, the float weights behind the signs
 * @param g [in] f32, the value vector of the input side
 * @param h [out] f32, the value vector of the output side
 * @returns [n, out] f32
 */
export function signLinear(
  x: tf.Tensor2D,
  latent: tf.Tensor2D,
  g: tf.Tensor1D,
  h: tf.Tensor1D,
  { eps = 1e-5, straightThrough = 'plain' }: SignLinearOptions = {},
): tf.Tensor2D {
  if (!hasKernel('OneBitSignLinear')) return composed(x, latent, g, h, eps, straightThrough);
  return differentiable([x, latent, g, h], (save) => {
    const outputs = runKernel('OneBitSignLinear', { x, latent, g, h }, { eps });
    const y = at(outputs, 0);
    save([y, at(outputs, 1), x, latent, g, h]);
    return {
      value: y,
      gradient: (dy, [y, inverse, x, latent, g, h]) =>
        runKernel('OneBitSignLinearGradient', { dy, y, inverse, x, latent, g, h }, { straightThrough }),
    };
  });
}

function composed(
  x: tf.Tensor2D,
  latent: tf.Tensor2D,
  g: tf.Tensor1D,
  h: tf.Tensor1D,
  eps: number,
  straightThrough: StudentRecipe['straightThrough'],
): tf.Tensor2D {
  const signs = differentiable<tf.Tensor2D>([latent], (save) => {
    save([latent]);
    return {
      value: tf.sub(tf.mul(tf.cast(tf.greaterEqual(latent, 0), 'float32'), 2), 1),
      gradient: (dSigns, saved) => [passed(dSigns, at(saved, 0), straightThrough)],
    };
  });
  const z = tf.mul(tf.matMul(tf.mul<tf.Tensor2D>(x, g), signs, false, true), h);
  const centred = tf.sub(z, tf.mean(z, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.mul(centred, tf.rsqrt(tf.add(variance, eps)));
}

/** The gradient by the latent weights that is put in the place of Sign's, which is 0. */
function passed(
  dSigns: tf.Tensor,
  latent: tf.Tensor,
  straightThrough: StudentRecipe['straightThrough'],
): tf.Tensor {
  switch (straightThrough) {
    case 'plain':
      return tf.clone(dSigns);
    case 'tanh':
      return tf.mul(dSigns, tf.sub(1.001, tf.square(tf.tanh(latent))));
    case 'clipped':
      return tf.mul(dSigns, tf.cast(tf.lessEqual(tf.abs(latent), 1), 'float32'));
  }
}
