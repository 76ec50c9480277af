/**
 * The one door to tfjs: core, its gradients and the plain `cpu` backend. Everything in training imports
 * `tf` from here. The gradients must be registered by hand, because outside a browser bundle core comes
 * without them.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import '@tensorflow/tfjs-backend-cpu';

export { tf };
