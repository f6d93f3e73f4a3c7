package torch_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a libtorch for csrc/build.sh to read: files by their path below the folder in
// which a wheel is unpacked, where TORCH_HOME is torch/. The texts are excerpts, spelled as
// in each version.
type tree map[string]string

const (
	numbers13 = "#define TORCH_VERSION_MAJOR 1\n#define TORCH_VERSION_MINOR 13\n"
	// strings11 and strings98 are names of c10's functions with libstdc++'s two strings.
	strings11 = "\x00_ZN3c105ErrorC1ENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES6_\x00"
	strings98 = "\x00_ZN3c105ErrorC1ESsSsPKv\x00"
	hasNCCL   = "\x00_ZN4c10d16ProcessGroupNCCLC1E\x00"
)

func numbers(minor string) string {
	return "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR " + minor + "\n#define TORCH_VERSION_PATCH 0\n"
}

// wheel has the files of every wheel, and more.
func wheel(more tree) tree {
	out := tree{
		"torch/lib/libtorch.so":                                  "",
		"torch/lib/libtorch_cpu.so":                              "\x00_ZN4c10d8TCPStoreC1E\x00",
		"torch/lib/libc10.so":                                    strings11,
		"torch/include/torch/csrc/distributed/c10d/TCPStore.hpp": "",
		"torch/include/torch/csrc/api/include/torch/version.h":   "#include <torch/headeronly/version.h>\n",
	}
	maps.Copy(out, more)
	return out
}

// wheelCUDA13 is 2.15's with CUDA 13.2 and all of NVIDIA's packages.
func wheelCUDA13(more tree) tree {
	out := wheel(tree{
		"torch/version.py": "cuda: Optional[str] = '13.2'\n",
		"torch/share/cmake/Torch/TorchConfig.cmake": `
  # cxx_std_26 may come
  if("cxx_std_20" IN_LIST CMAKE_CXX_COMPILE_FEATURES)
    target_compile_features(torch INTERFACE cxx_std_20)
`,
		"torch/include/torch/headeronly/version.h":                       numbers("15"),
		"torch/lib/libtorch.so":                                          "libtorch_cuda.so", // the library that it needs
		"torch/lib/libtorch_cuda.so":                                     "\x00libcudart.so.13\x00" + hasNCCL,
		"torch/include/c10/cuda/CUDACachingAllocator.h":                  "#include <cuda_runtime_api.h>\n",
		"torch/include/ATen/cuda/CUDAGraph.h":                            "#include <cuda_runtime.h>\n",
		"torch/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp": "#if !defined(USE_C10D_NCCL)\n#error no flags\n#endif\n#include <nccl.h>\n#include <cusparse.h>\n",
		"nvidia/cu13/include/cuda_runtime_api.h":                         "#define CUDART_VERSION 13020\n",
		"nvidia/cu13/include/cuda_runtime.h":                             "#include <cuda_runtime_api.h>\n#include \"crt/host_config.h\"\n",
		"nvidia/cu13/include/crt/host_config.h":                          "",
		"nvidia/cu13/include/cusparse.h":                                 "",
		"nvidia/cu13/include/cccl/nv/target":                             "",
		"nvidia/nccl/include/nccl.h":                                     "#include <nv/target>\n",
		"nvidia/cu13/lib/libnvrtc.so.13":                                 "",
	})
	maps.Copy(out, more)
	return out
}

// wheelCUDA12 is 2.10's, whose packages each have a folder.
func wheelCUDA12(more tree) tree {
	out := wheel(tree{
		"torch/version.py":                                               "cuda: Optional[str] = '12.8'\n",
		"torch/share/cmake/Torch/TorchConfig.cmake":                      "set_property(TARGET torch PROPERTY CXX_STANDARD 17)\n",
		"torch/include/torch/headeronly/version.h":                       numbers("10"),
		"torch/lib/libtorch_cuda.so":                                     "\x00libcudart.so.12\x00" + hasNCCL,
		"torch/include/c10/cuda/CUDACachingAllocator.h":                  "#include <cuda_runtime_api.h>\n",
		"torch/include/ATen/cuda/CUDAGraph.h":                            "#include <crt/host_config.h>\n",
		"torch/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp": "#include <nccl.h>\n",
		"nvidia/cuda_runtime/include/cuda_runtime_api.h":                 "#define CUDART_VERSION 12080\n",
		"nvidia/cuda_nvcc/include/crt/host_config.h":                     "",
		"nvidia/cuda_cccl/include/nv/target":                             "",
		"nvidia/nccl/include/nccl.h":                                     "#include <nv/target>\n",
		"nvidia/cuda_nvrtc/lib/libnvrtc.so.12":                           "",
	})
	maps.Copy(out, more)
	return out
}

// without omits the files whose path begins so.
func (tr tree) without(prefixes ...string) tree {
	out := tree{}
	for path, text := range tr {
		keep := true
		for _, p := range prefixes {
			keep = keep && !strings.HasPrefix(path, p)
		}
		if keep {
			out[path] = text
		}
	}
	return out
}

func (tr tree) write(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range tr {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// buildSh runs csrc/build.sh on the tree below root, with only the environment that it
// needs: a developer's variables are not part of the tree.
func buildSh(t *testing.T, root string, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if _, lookErr := exec.LookPath("g++"); lookErr != nil {
		t.Skip("needs g++")
	}
	// Read here, so that go test's cache depends on the scripts.
	for _, name := range []string{"build.sh", "tree.sh", "headers.sh"} {
		if _, err := os.ReadFile(filepath.Join("csrc", name)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("csrc/build.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "TORCH_HOME=" + filepath.Join(root, "torch")}, env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

// The shim's build options are read from the tree, as each version spells them.
func TestBuildReadsTheTree(t *testing.T) {
	for _, c := range []struct {
		name string
		tree tree
		env  []string
		want string // what build.sh would build, or if it refuses its error, which begins with "build.sh:"
	}{
		{"1.13", wheel(tree{
			"torch/include/torch/csrc/api/include/torch/version.h": numbers13,
			"torch/share/cmake/Torch/TorchConfig.cmake":            "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=0\")\nset_target_properties(torch PROPERTIES\n    CXX_STANDARD 14\n)\n",
		}), nil, "libtorch 1.13, C++17, cxx11 abi 0, several processes by: none"},
		{
			"no CMake files", wheel(tree{"torch/include/torch/headeronly/version.h": numbers("4")}), nil,
			"libtorch 2.4, C++17, cxx11 abi 1, several processes by: none",
		},
		{
			"the old strings by their symbols", wheel(tree{"torch/include/torch/headeronly/version.h": numbers("4"), "torch/lib/libc10.so": strings98}), nil,
			"libtorch 2.4, C++17, cxx11 abi 0, several processes by: none",
		},
		{"gloo", wheel(tree{
			"torch/include/torch/headeronly/version.h": numbers("4"),
			"torch/include/gloo/algorithm.h":           "",
			"torch/lib/libtorch_cpu.so":                "_ZN4c10d8TCPStoreC1E\x00_ZN4c10d16ProcessGroupGlooC1E",
		}), nil, "libtorch 2.4, C++17, cxx11 abi 1, several processes by: gloo"},
		{
			"2.10, CUDA 12.8", wheelCUDA12(nil), nil,
			"libtorch 2.10, C++17, cxx11 abi 1, CUDA 12.8 with graphs and kernels, several processes by: nccl",
		},
		{"2.14", wheel(tree{
			"torch/include/torch/headeronly/version.h":  numbers("14"),
			"torch/share/cmake/Torch/TorchConfig.cmake": "set_target_properties(torch PROPERTIES\n    CXX_STANDARD 20\n)\n",
		}), nil, "libtorch 2.14, C++20, cxx11 abi 1, several processes by: none"},
		{
			"2.15, CUDA 13.2", wheelCUDA13(nil), nil,
			"libtorch 2.15, C++20, cxx11 abi 1, CUDA 13.2 with graphs and kernels, several processes by: nccl",
		},
		{
			"2.15 for CPUs", wheelCUDA13(nil),
			[]string{"WITHOUT=cuda"},
			"libtorch 2.15, C++20, cxx11 abi 1, several processes by: none",
		},
		{
			"2.15 of which CUDA's part was removed", wheelCUDA13(nil).without("torch/lib/libtorch_cuda.so"), nil,
			"libtorch 2.15, C++20, cxx11 abi 1, several processes by: none",
		},
		{
			"2.15 without kernels", wheelCUDA13(nil),
			[]string{"WITHOUT=kernels"},
			"libtorch 2.15, C++20, cxx11 abi 1, CUDA 13.2 with graphs, several processes by: nccl",
		},
		{
			"2.15 for one GPU", wheelCUDA13(nil),
			[]string{"WITHOUT=nccl"},
			"libtorch 2.15, C++20, cxx11 abi 1, CUDA 13.2 with graphs and kernels, several processes by: none",
		},
		{
			"CUDA by the runtime's name", wheelCUDA13(nil).without("torch/version.py"), nil,
			"libtorch 2.15, C++20, cxx11 abi 1, CUDA 13 with graphs and kernels, several processes by: nccl",
		},
		{"a standard that the compiler does not know", wheel(tree{
			"torch/include/torch/headeronly/version.h":  numbers("99"),
			"torch/share/cmake/Torch/TorchConfig.cmake": "target_compile_features(torch INTERFACE cxx_std_89)\n",
		}), nil, "build.sh: libtorch 2.99 is written in C++89, which g++ does not know (fix: install g++ 11 or newer, or set CXX)"},
		{"no version", wheel(nil), nil, "names no version (fix: install libtorch again)"},
		{"no libtorch", tree{"torch/lib/libc10.so": ""}, nil, "has no lib/libtorch.so (fix: set it to the torch/ folder of a wheel, or to an unpacked libtorch)"},
		{"no headers", tree{"torch/lib/libtorch.so": ""}, nil, "has no headers of libtorch (fix: apt-get install libtorch-dev, or set TORCH_HOME)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, err := buildSh(t, c.tree.write(t), c.env, "--plan")
			if refuses := strings.Contains(c.want, "(fix: "); refuses {
				if err == nil || !strings.HasSuffix(stderr, c.want+"\n") || strings.Count(stderr, "\n") != 1 {
					t.Errorf("%v: %q; want %q", err, stderr, c.want)
				}
				return
			}
			if err != nil || stdout != c.want+"\n" || stderr != "" {
				t.Errorf("%v: %q, %q; want %q", err, stdout, stderr, c.want)
			}
		})
	}
}

// For missing headers, which the compiler reports, build.sh names the package, and continues
// without the part that needs them.
func TestBuildNamesTheMissingPackage(t *testing.T) {
	for _, own := range []string{"/usr/local/cuda/include", "/usr/include/cuda_runtime.h", "/usr/include/nccl.h"} {
		if _, err := os.Stat(own); err == nil {
			t.Skipf("this machine has %s, which build.sh finds", own)
		}
	}
	const (
		noGraphs = "build.sh: the shim will have no CUDA graphs, no figures of device memory, and train on one GPU alone: "
		oneGPU   = "build.sh: the shim will train on one GPU alone: "
		none     = "CUDA 13.2, several processes by: none"
		graphs   = "CUDA 13.2 with graphs and kernels, several processes by: none"
	)
	other := t.TempDir()
	if err := os.MkdirAll(filepath.Join(other, "include"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "include", "cuda_runtime_api.h"), []byte("#define CUDART_VERSION 12080\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		tree         tree
		env          []string
		built, wants string
	}{
		{
			"crt", wheelCUDA13(nil).without("nvidia/cu13/include/crt"), nil, none,
			noGraphs + "there is no crt/host_config.h (fix: pip install 'nvidia-cuda-crt==13.2.*', or set CUDA_HOME)",
		},
		{
			"cccl", wheelCUDA13(nil).without("nvidia/cu13/include/cccl"), nil, graphs,
			oneGPU + "there is no nv/target (fix: pip install 'nvidia-cuda-cccl==13.2.*', or set CUDA_HOME)",
		},
		{
			"both", wheelCUDA13(nil).without("nvidia/cu13/include/cccl", "nvidia/cu13/include/crt"), nil, none,
			noGraphs + "there is no crt/host_config.h (fix: pip install 'nvidia-cuda-cccl==13.2.*' 'nvidia-cuda-crt==13.2.*', or set CUDA_HOME)",
		},
		{
			"nccl", wheelCUDA13(nil).without("nvidia/nccl"), nil, graphs,
			oneGPU + "there is no nccl.h (fix: pip install nvidia-nccl-cu13, or set CUDA_HOME and NCCL_HOME)",
		},
		{
			"cusparse", wheelCUDA13(nil).without("nvidia/cu13/include/cusparse.h"), nil, graphs,
			oneGPU + "there is no cusparse.h (fix: pip install nvidia-cusparse, or set CUDA_HOME)",
		},
		{
			"nvrtc", wheelCUDA13(nil).without("nvidia/cu13/lib"), nil, "CUDA 13.2 with graphs, several processes by: nccl",
			"build.sh: the shim will have no kernels of its own for GPUs, and use libtorch's operators: there is no libnvrtc.so.13 (fix: pip install 'nvidia-cuda-nvrtc==13.2.*', or set CUDA_HOME)",
		},
		{
			"runtime", wheelCUDA13(nil).without("nvidia/cu13/include/cuda_runtime"), nil, none,
			noGraphs + "there is no cuda_runtime.h (fix: pip install 'nvidia-cuda-runtime==13.2.*', or set CUDA_HOME)",
		},
		{
			"crt of CUDA 12", wheelCUDA12(nil).without("nvidia/cuda_nvcc"), nil, "CUDA 12.8, several processes by: none",
			noGraphs + "there is no crt/host_config.h (fix: pip install 'nvidia-cuda-nvcc-cu12==12.8.*', or set CUDA_HOME)",
		},
		{
			"a header that no package is known for", wheelCUDA13(tree{"nvidia/cu13/include/crt/host_config.h": "#include <unheard_of.h>\n"}), nil, none,
			noGraphs + "there is no unheard_of.h (fix: set CUDA_HOME to a CUDA 13.2 toolkit)",
		},
		{
			"another CUDA's headers", wheelCUDA13(nil).without("nvidia/"),
			[]string{"CUDA_HOME=" + other},
			none,
			noGraphs + "there is no cuda_runtime.h (fix: pip install 'nvidia-cuda-runtime==13.2.*'",
		},
		{
			"another CUDA's number", wheelCUDA13(tree{"nvidia/cu13/include/cuda_runtime_api.h": "#define CUDART_VERSION 12080\n"}), nil, none,
			noGraphs + "#error \"these headers are not of CUDA 13, which libtorch was built with\" (fix: set CUDA_HOME to a CUDA 13.2 toolkit)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, err := buildSh(t, c.tree.write(t), c.env, "--plan")
			if err != nil || !strings.HasSuffix(stdout, c.built+"\n") {
				t.Errorf("%v: %q; want %q", err, stdout, c.built)
			}
			if !strings.HasPrefix(stderr, c.wants) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("says %q\n want %q", stderr, c.wants)
			}
		})
	}
}

// A part that does not compile is left out of the shim. The compiler here is the real one,
// except that it refuses the shim if REFUSES is among the flags.
func TestBuildGivesUpPartsNotTheShim(t *testing.T) {
	root := wheelCUDA13(tree{"g++": `#!/bin/sh
case " $* " in *"/shim.cc "* | *"/compile.cc "* | *" -shared "*) ;; *) exec g++ "$@" ;; esac
case "$* " in *" $REFUSES "*) echo "cuda.cc:1: error: $REFUSES" >&2; exit 1 ;; esac
compiler=
case " $* " in *"/compile.cc "*) compiler=1 ;; esac
while [ "$1" != -o ]; do shift; done
[ -z "$compiler" ] || printf '#!/bin/sh\n[ -e "$1" ] && [ "$REFUSES" != nvrtc ] || { echo "compile: kernels.cu does not compile for 80" >&2; exit 1; }\n: >"$3.bin" >"$3.h"\n' >"$2"
[ -n "$compiler" ] || : >"$2"
[ -z "$compiler" ] || chmod +x "$2"
`}).write(t)
	compiler := filepath.Join(root, "g++")
	if err := os.Chmod(compiler, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ refuses, gives string }{
		{"-DNOTHING", "CUDA 13.2 with graphs and kernels, several processes by: nccl"},
		{"-DUSE_C10D_NCCL", "CUDA 13.2 with graphs and kernels, several processes by: none"},
		{"-DRESSLT_KERNELS", "CUDA 13.2 with graphs, several processes by: none"},
		{"nvrtc", "CUDA 13.2 with graphs, several processes by: nccl"},
		{"-DRESSLT_CUDA_HEADERS", "CUDA 13.2, several processes by: none"},
		{"-fPIC", ""},
	} {
		t.Run(c.refuses, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "shim.so")
			stdout, stderr, err := buildSh(t, root, []string{"CXX=" + compiler, "REFUSES=" + c.refuses, "OUT=" + out})
			_, missing := os.Stat(out)
			if c.gives == "" {
				if err == nil || missing == nil || !strings.Contains(stderr, "does not build against libtorch 2.15") {
					t.Errorf("%v: built %v, says %q", err, missing == nil, stderr)
				}
				return
			}
			if err != nil || missing != nil || !strings.HasSuffix(stdout, c.gives+"\n") {
				t.Errorf("%v, %v: %q; want %q", err, missing, stdout, c.gives)
			}
			if said := stderr != ""; said != (c.refuses != "-DNOTHING") {
				t.Errorf("says %q", stderr)
			}
		})
	}
}

// A CPU shim from a CUDA libtorch needs none of CUDA's libraries: neither by name, nor by
// libtorch.so, which lists them.
func TestBuildLinksWhatItUses(t *testing.T) {
	root := wheelCUDA13(tree{"g++": `#!/bin/sh
case " $* " in *"/shim.cc "* | *" -shared "*) ;; *) exec g++ "$@" ;; esac
echo "$*" >"$0.flags"
while [ "$1" != -o ]; do shift; done
: >"$2"
`}).write(t)
	compiler := filepath.Join(root, "g++")
	if err := os.Chmod(compiler, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ without, links string }{
		{"", " -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10 -ltorch_cuda -lc10_cuda -ldl\n"},
		{"cuda", " -Wl,--no-as-needed -ltorch_cpu -lc10 -ldl\n"},
	} {
		if _, stderr, err := buildSh(t, root, []string{"CXX=" + compiler, "WITHOUT=" + c.without, "OUT=" + filepath.Join(t.TempDir(), "shim.so")}); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		flags, err := os.ReadFile(compiler + ".flags")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(flags), c.links) {
			t.Errorf("WITHOUT=%s links by %q; want %q", c.without, flags, c.links)
		}
		if strings.Contains(string(flags), "openmp") {
			t.Errorf("WITHOUT=%s links by %q: an OpenMP beside libtorch's", c.without, flags)
		}
	}
}
