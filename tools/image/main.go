// Command image writes Serin's container image as an OCI archive, without a daemon and without a base image: it holds
// the static binary, a user other than root, and the certificates with which it verifies other servers.
//
//	image -version v1.2.3 -created 1767225600 -out serin_oci.tar linux/amd64=PATH linux/arm64=PATH
//
// The same arguments give the same bytes. It is a module of its own, like the other tools.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is distroless's nonroot. It is set by number, so that Kubernetes can check runAsNonRoot.
const user = 65532

func main() {
	version := flag.String("version", "", "the version, and the image's tag")
	created := flag.Int64("created", 0, "the time of the image and all its files, in seconds since 1970")
	out := flag.String("out", "", "the archive to write")
	flag.Parse()
	if *version == "" || *out == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: image -version VERSION -created SECONDS -out FILE OS/ARCH=BINARY…")
		os.Exit(2)
	}
	if err := run(*version, time.Unix(*created, 0).UTC(), *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(version string, created time.Time, out string, binaries []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arg := range binaries {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%s: want OS/ARCH=BINARY", arg)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		img, err := image(version, created, *platform, path)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	l, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": version})); err != nil {
		return err
	}
	written, err := l.ImageIndex()
	if err != nil {
		return err
	}
	if err := validate.Index(written); err != nil {
		return err
	}
	return archive(folder, out, created)
}

// image is the image of one platform.
func image(version string, created time.Time, platform v1.Platform, binary string) (v1.Image, error) {
	content, err := files(binary, created)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	at := v1.Time{Time: created}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: at, CreatedBy: "tools/image"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created, config.OS, config.Architecture, config.Variant = at, platform.OS, platform.Architecture, platform.Variant
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", user, user),
		Entrypoint:   []string{"/serin"},
		Cmd:          []string{"daemon", "--config=/etc/serin/serin.yaml"},
		ExposedPorts: map[string]struct{}{"7474/tcp": {}},
		Env:          []string{"PATH=/", "HOME=/home/nonroot"},
		WorkingDir:   "/home/nonroot",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "serin",
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.source":   "https://github.com/serindev/serin",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

// files returns the image's only layer, as a tar archive.
func files(binary string, created time.Time) ([]byte, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	const folder, writable = 0o755, 0o1777
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name    string
		mode    int64
		owner   int
		content []byte // none for a folder, whose name ends in /
	}{
		{"etc/", folder, 0, nil},
		{"etc/passwd", 0o644, 0, []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{"etc/group", 0o644, 0, []byte("root:x:0:\nnonroot:x:65532:\n")},
		{"etc/ssl/", folder, 0, nil},
		{"etc/ssl/certs/", folder, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, certificates()},
		{"home/", folder, 0, nil},
		{"home/nonroot/", 0o700, user, nil},
		{"serin", 0o755, 0, program},
		{"tmp/", writable, 0, nil},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, ModTime: created, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// certificates returns Mozilla's, as golang.org/x/crypto has them. Those that Mozilla trusts only under conditions are
// left out, because a file of certificates cannot state conditions.
func certificates() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return b.Bytes()
}

// archive packs a folder in the order of the file names.
func archive(folder, out string, at time.Time) error {
	var names []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	w := tar.NewWriter(f)
	for _, path := range names {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, ModTime: at, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}
