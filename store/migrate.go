package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// postgresWords translates the migrations, which are written for SQLite, into PostgreSQL's SQL.
var postgresWords = strings.NewReplacer(
	"INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
	"COLLATE BINARY", `COLLATE "C"`, // by bytes on both, whatever the database's collation
	"BLOB", "BYTEA",
	" WITHOUT ROWID", "", // PostgreSQL does not cluster by key; the index is enough
)

// migrate brings the schema of db up to this program's. A database that a newer Serin has changed is refused, since
// this one would not know what it overwrites.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if dialect == goose.DialectPostgres {
		files = translated{files}
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	is, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if is > want {
		return fmt.Errorf("the schema has version %d, this Serin knows %d: a newer Serin has used this database; run "+
			"that one, or restore a backup from before",
			is, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", is, want, err)
	}
	return nil
}

// translated is the migrations in PostgreSQL's SQL.
type translated struct{ fs.FS }

// Open implements [fs.FS].
func (t translated) Open(name string) (fs.File, error) {
	f, err := t.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".sql") {
		return f, nil
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return translatedFile{f, strings.NewReader(postgresWords.Replace(string(text)))}, nil
}

type translatedFile struct {
	fs.File
	text *strings.Reader
}

// Read implements [fs.File].
func (f translatedFile) Read(b []byte) (int, error) { return f.text.Read(b) }
