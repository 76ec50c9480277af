{
  "variables": {
    "optimize%": ["-O3", "-fno-math-errno", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "is_x64%": "<!(node -p \"process.arch === 'x64' ? 1 : 0\")"
  },
  "target_defaults": {
    "cflags!": ["-O2", "-fno-exceptions"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
    "cflags": ["<@(optimize)"],
    "cflags_cc": ["-std=c++17"],
    "xcode_settings": {
      "OTHER_CFLAGS": ["<@(optimize)"],
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0"
    },
    "msvs_settings": { "VCCLCompilerTool": { "ExceptionHandling": 1, "Optimization": 2, "AdditionalOptions": ["/std:c++17"] } },
    "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "."],
    "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED"]
  },
  "targets": [
    {
      "target_name": "onebit",
      "sources": [
        "addon.cc",
        "cpu_features.cc",
        "thread_pool.cc",
        "<!@(node list-sources.mjs portable)"
      ],
      "conditions": [
        ["OS=='linux'", { "libraries": ["-lpthread"] }],
        ["is_x64==1", { "dependencies": ["kernels_avx2", "kernels_avx512"] }]
      ]
    }
  ],
  "conditions": [
    ["is_x64==1", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["<!@(node list-sources.mjs avx2)"],
          "cflags": ["-mavx2", "-mfma", "-mf16c"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(optimize)", "-mavx2", "-mfma", "-mf16c"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/arch:AVX2"] } }
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["<!@(node list-sources.mjs avx512)"],
          "cflags": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512vbmi"],
          # gcc 12 takes its own _mm512_undefined for a mistake in every intrinsic that uses it.
          "cflags_cc": ["-Wno-uninitialized", "-Wno-maybe-uninitialized"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(optimize)", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512vbmi"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/arch:AVX512"] } }
        }
      ]
    }]
  ]
}
