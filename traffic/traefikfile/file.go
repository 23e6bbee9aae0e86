package traefikfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/traefik/paerser/file"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
)

// maxFile bounds what is read: Serin's file has a few kilobytes, and a hundred servers an arm would add ten.
const maxFile = 1 << 20

// ErrForeign is returned by [Router.Apply] if the file is not Serin's or contains foreign entries. Serin does not write it
// until a person has resolved that, with one exception: see [Router.Apply].
var ErrForeign = errors.New("not only Serin's")

// content is a file of Serin's.
type content struct {
	config *dynamic.Configuration
	digest string
	// broken says why a file of Serin's could not be read, for example after an incomplete manual edit. config is nil then.
	broken string
	// others names the foreign entries; config and broken describe the rest. text is the whole file.
	others error
	text   []byte
}

// read reads the file. It returns nil if it is missing or empty, and [ErrForeign] if it is not Serin's.
func read(path, rollout string) (*content, error) {
	f, err := os.Open(path) //nolint:gosec // the path is configured
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Traefik's file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read Traefik's file: %w", err)
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s: %w: it is larger than %d bytes", path, ErrForeign, maxFile)
	case strings.TrimSpace(string(data)) == "":
		return nil, nil
	}
	c, err := parse(data, rollout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// parse checks the owner of the file and reads it as Traefik does.
func parse(data []byte, rollout string) (*content, error) {
	switch owner := owner(string(data)); {
	case owner == "":
		return nil, fmt.Errorf("%w: it does not begin with the comment %q", ErrForeign, ownerMark+rollout)
	case owner != rollout:
		return nil, fmt.Errorf("%w: it belongs to the rollout %s", ErrForeign, owner)
	case strings.Contains(string(data), action):
		return nil, fmt.Errorf("%w: it has actions of a template (%s)", ErrForeign, action)
	}
	sum := sha256.Sum256(data)
	c := &content{digest: hex.EncodeToString(sum[:]), text: data}
	var own []byte
	var err error
	switch own, c.others = ours(data, rollout); {
	case errors.Is(c.others, ErrForeign) && own == nil:
		return nil, c.others
	case c.others != nil && own == nil:
		c.broken, c.others = c.others.Error(), nil
		return c, nil
	}
	if c.config, err = decode(own); err != nil {
		c.broken = err.Error()
	}
	return c, nil
}

// owner returns the rollout that the comment at the beginning of the file names.
func owner(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, ownerMark); ok {
			return strings.TrimSpace(name)
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			break
		}
	}
	return ""
}

// decode decodes a file with Traefik's own code, but without templates, which Serin's files do not use.
func decode(data []byte) (c *dynamic.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil { // Traefik's parser may panic on files that were not checked
			c, err = nil, fmt.Errorf("decode: %v", p)
		}
	}()
	c = &dynamic.Configuration{}
	if err := file.DecodeContent(string(data), ".yaml", c); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if c.HTTP == nil {
		c.HTTP = &dynamic.HTTPConfiguration{}
	}
	if c.TCP == nil {
		c.TCP = &dynamic.TCPConfiguration{}
	}
	return c, nil
}

// tempFolder, next to the file, is where the file is written before it is renamed. In the watched folder itself, events of
// the temporary file would make Traefik read the folder and then wait for its throttle, so that every change would take
// 2 s; with a rename from here it takes 0.02 to 0.1 s. Traefik looks into this folder too, but ignores files with our
// suffix.
const tempFolder = ".serin"

// write replaces the file durably. After an error or a crash it is either the old or the new one.
func write(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write Traefik's file: %w", err)
		}
	}()
	mode := fs.FileMode(0o644)
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder := filepath.Dir(path)
	temp := filepath.Join(folder, tempFolder)
	if err := makeTemp(temp); err != nil {
		return err
	}
	if err := sweep(temp, filepath.Base(path)); err != nil {
		return err
	}
	f, err := os.CreateTemp(temp, filepath.Base(path)+".*"+tempSuffix)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f, data, mode), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(folder)
}

const tempSuffix = ".tmp"

// makeTemp makes the folder readable for everyone, whatever the umask: a Traefik that runs as another user and cannot read
// it stops reading all files.
func makeTemp(temp string) error {
	err := os.Mkdir(temp, 0o755) //nolint:gosec // see above
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(temp, 0o755) //nolint:gosec // see above
}

// sweep removes what earlier writes of this file left behind after a crash.
func sweep(temp, name string) error {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+".") && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := os.Remove(filepath.Join(temp, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func fill(f *os.File, data []byte, mode fs.FileMode) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

func syncFolder(path string) error {
	d, err := os.Open(path) //nolint:gosec // the path is configured
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
