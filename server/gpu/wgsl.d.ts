/** A shader's text: esbuild and vitest load `.wgsl` files as strings. */
declare module '*.wgsl' {
  const source: string;
  export default source;
}
