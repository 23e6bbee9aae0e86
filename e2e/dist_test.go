package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// TestAReleaseIsCompleteAndReproducible runs the script of `make dist` twice on the program under test, with different umasks
// and time zones.
func TestAReleaseIsCompleteAndReproducible(t *testing.T) {
	t.Parallel()
	require.NoError(t, testbed.Reads("tools/dist", "tools/image", "tools/cyclonedx", "deploy/helm", "LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"))
	first, second := dist(t, "022", "TZ=Asia/Tokyo"), dist(t, "077", "TZ=America/Lima")
	platform := runtime.GOOS + "_" + runtime.GOARCH
	require.ElementsMatch(t, []string{
		"SHA256SUMS", "serin-1.2.3.tgz", "serin_1.2.3_image_oci.tar",
		"serin_1.2.3_" + platform + ".tar.gz", "serin_1.2.3_" + platform + ".cdx.json",
	}, names(t, first))
	require.Equal(t, names(t, first), names(t, second))
	for _, name := range names(t, first) {
		a, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), "%s has different bytes the second time", name)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = first
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))

	t.Run("the archive holds the program and its papers", func(t *testing.T) {
		files := unpack(t, filepath.Join(first, "serin_1.2.3_"+platform+".tar.gz"), true)
		top := "serin_1.2.3_" + platform + "/"
		for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "completions/serin.bash", "completions/serin.zsh", "completions/serin.fish", "completions/serin.powershell", "man/serin.1", "man/serin-start.1"} {
			require.NotEmpty(t, files[top+name], name)
		}
		require.Equal(t, program(t), files[top+"serin"])
		require.Less(t, len(files[top+"serin"]), 79_000_000, "bytes: which dependency has made it larger? See internal/kubernetes")
		require.Contains(t, string(files[top+"man/serin.1"]), "serin-daemon")
		require.NotContains(t, string(files[top+"man/serin.1"]), "serin-man", "the man pages leave out a command for packagers")
	})
	t.Run("the SBOM lists the modules", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join(first, "serin_1.2.3_"+platform+".cdx.json"))
		require.NoError(t, err)
		var sbom struct {
			Format   string `json:"bomFormat"`
			Metadata struct {
				Component struct{ Name, Version string }
			}
			Components []struct{ Name, Version, PURL string }
		}
		require.NoError(t, json.Unmarshal(b, &sbom))
		require.Equal(t, "CycloneDX", sbom.Format)
		require.Equal(t, "github.com/serindev/serin", sbom.Metadata.Component.Name)
		require.Equal(t, "v1.2.3", sbom.Metadata.Component.Version)
		var parts []string
		for _, c := range sbom.Components {
			parts = append(parts, c.Name)
		}
		require.Subset(t, parts, []string{"std", "github.com/spf13/cobra", "modernc.org/sqlite", "github.com/traefik/traefik/v3"})
	})
	t.Run("the chart is of this version", func(t *testing.T) {
		chart := string(unpack(t, filepath.Join(first, "serin-1.2.3.tgz"), true)["serin/Chart.yaml"])
		require.Contains(t, chart, "\nversion: 1.2.3\n")
		require.Contains(t, chart, "appVersion: 1.2.3\n")
	})
	t.Run("the image runs the program as a user without rights", func(t *testing.T) {
		image(t, filepath.Join(first, "serin_1.2.3_image_oci.tar"))
	})
}

// dist makes a release with a umask and an environment, and returns its folder.
func dist(t *testing.T, umask, env string) string {
	t.Helper()
	root, err := testbed.Root()
	require.NoError(t, err)
	binaries, out := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	folder := filepath.Join(binaries, runtime.GOOS+"_"+runtime.GOARCH)
	require.NoError(t, os.Mkdir(folder, 0o750))
	require.NoError(t, os.Symlink(serin, filepath.Join(folder, "serin")))
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "umask "+umask+` && exec tools/dist "$@"`, "dist", out, runtime.GOOS+"/"+runtime.GOARCH)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env, "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1767225600", "BINARIES="+binaries)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	return out
}

func names(t *testing.T, folder string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func program(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(serin)
	require.NoError(t, err)
	return b
}

// unpack reads the files of a tar archive, and checks that none is writable by others or belongs to a named user.
func unpack(t *testing.T, path string, zipped bool) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if zipped {
		r, err = gzip.NewReader(r)
		require.NoError(t, err)
	}
	return entries(t, r)
}

func entries(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		require.Empty(t, h.Uname+h.Gname, h.Name)
		require.EqualValues(t, 1767225600, h.ModTime.Unix(), h.Name)
		require.True(t, h.Mode&0o022 == 0 || h.Name == "tmp/", "%s can be written by others", h.Name)
		b, err := io.ReadAll(archive)
		require.NoError(t, err)
		out[h.Name] = b
	}
}

// image reads an OCI archive as a runtime would: from the index to the platform's manifest, its configuration and its
// layer.
func image(t *testing.T, path string) {
	t.Helper()
	files := unpack(t, path, false)
	type descriptor struct {
		Digest      string
		Annotations map[string]string
		Platform    struct{ OS, Architecture string }
	}
	blob := func(digest string, into any) []byte {
		b := files["blobs/"+strings.Replace(digest, ":", "/", 1)]
		require.NotEmpty(t, b, digest)
		if into != nil {
			require.NoError(t, json.Unmarshal(b, into))
		}
		return b
	}
	var top, platforms struct{ Manifests []descriptor }
	require.NoError(t, json.Unmarshal(files["index.json"], &top))
	require.Len(t, top.Manifests, 1)
	require.Equal(t, "v1.2.3", top.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	blob(top.Manifests[0].Digest, &platforms)
	require.Len(t, platforms.Manifests, 1)
	require.Equal(t, runtime.GOARCH, platforms.Manifests[0].Platform.Architecture)
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	blob(platforms.Manifests[0].Digest, &manifest)
	var config struct {
		Architecture, OS string
		Config           struct {
			User            string
			Entrypoint, Cmd []string
		}
	}
	blob(manifest.Config.Digest, &config)
	require.Equal(t, [2]string{"linux", runtime.GOARCH}, [2]string{config.OS, config.Architecture})
	require.Equal(t, "65532:65532", config.Config.User)
	require.Equal(t, []string{"/serin"}, config.Config.Entrypoint)
	require.Equal(t, []string{"daemon", "--config=/etc/serin/serin.yaml"}, config.Config.Cmd)
	require.Len(t, manifest.Layers, 1)
	layer, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0].Digest, nil)))
	require.NoError(t, err)
	inside := entries(t, layer)
	require.Equal(t, program(t), inside["serin"])
	require.Greater(t, strings.Count(string(inside["etc/ssl/certs/ca-certificates.crt"]), "BEGIN CERTIFICATE"), 50)
}

// `go install …@latest` refuses a go.mod that replaces or excludes modules.
func TestGoInstallAcceptsTheModule(t *testing.T) {
	t.Parallel()
	root, err := testbed.Root()
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^\s*(replace|exclude)\b`, string(b))
}

// A tag can be moved to other code, a commit cannot.
func TestWorkflowsPinActionsToCommits(t *testing.T) {
	t.Parallel()
	root, err := testbed.Root()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		b, err := os.ReadFile(file) //nolint:gosec // of this repository
		require.NoError(t, err)
		for line := range strings.Lines(string(b)) {
			if _, action, uses := strings.Cut(line, "uses: "); uses {
				require.Regexp(t, `^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n$`, action, filepath.Base(file))
			}
		}
	}
}
