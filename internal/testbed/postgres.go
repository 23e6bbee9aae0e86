package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// postgresDirs is where Debian puts the servers, one folder per version.
const postgresDirs = "/usr/lib/postgresql/*/bin"

// PostgresConfig says how a PostgreSQL is started; its zero value is ready to use.
type PostgresConfig struct {
	// Args are added to the command line of the server, such as "-c", "max_connections=20".
	Args []string
}

// Postgres is a running PostgreSQL server with a data folder of its own and without fsync: the data survives a kill of
// the server, but not a crash of the machine.
type Postgres struct {
	*Process
	// URL leads to the database "postgres" as a superuser without password.
	URL string

	bin  string
	port int
}

// StartPostgres makes a data folder, starts a server on it and returns when it accepts connections. As root it runs as
// the user "postgres" (or "nobody"), because the server refuses root.
func StartPostgres(ctx context.Context, c PostgresConfig) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	uid, gid, err := postgresUser()
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "serin-postgres-")
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	p := &Postgres{bin: bin, port: port}
	p.URL = p.url("postgres")
	if err := p.initdb(ctx, dir, uid, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), os.RemoveAll(dir))
	}
	args := append([]string{
		"-D", filepath.Join(dir, "data"), "-k", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
	}, c.Args...)
	p.Process, err = Start(ctx, Command{
		Name: "postgres", Path: filepath.Join(bin, "postgres"), Args: args, Dir: dir, UID: uid, GID: gid, Ready: p.ready,
		StopSignal: syscall.SIGINT, // on SIGTERM it waits until all clients have gone
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.ownDir = true
	return p, nil
}

// postgresBin is the folder of Debian's newest server, or else of the one in PATH; all its programs are in it.
func postgresBin() (string, error) {
	found, err := filepath.Glob(filepath.Join(postgresDirs, "postgres"))
	if err != nil {
		return "", fmt.Errorf("find postgres: %w", err)
	}
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", errors.New("postgres is neither in " + postgresDirs + " nor in PATH: run `make tools`")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("find postgres: %w", err)
	}
	return filepath.Dir(path), nil
}

// postgresUser is the user to run as; zeros if we are not root and cannot change the user.
func postgresUser() (uid, gid uint32, err error) {
	if os.Getuid() != 0 {
		return 0, 0, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return 0, 0, err
		}
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), err
}

func (p *Postgres) initdb(ctx context.Context, dir string, uid, gid uint32) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "-D", filepath.Join(dir, "data"), //nolint:gosec // found above
		"-U", "serin", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return err
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("serin"), Host: loopback(p.port), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (p *Postgres) ready(ctx context.Context) error {
	return p.Client(ctx, "pg_isready", "-d", "postgres")
}

// CreateDatabase makes an empty database and returns the URL that leads to it.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := p.Client(ctx, "createdb", name); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return p.url(name), nil
}

// Client runs one of PostgreSQL's own programs, such as psql, on the server as its superuser. The error includes its
// output.
func (p *Postgres) Client(ctx context.Context, program string, args ...string) error {
	args = append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "serin"}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...).CombinedOutput() //nolint:gosec // found above
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}
