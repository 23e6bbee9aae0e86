package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"time"
)

// reportData is a release as one file.
type reportData struct {
	Detail

	Style   template.CSS
	Made    time.Time
	By      string
	Version string
}

// WriteReport writes a release as one HTML file that loads nothing: charts, evidence, events. The file says that it was made
// at that time, for that person (empty on the command line) and by that version of Serin.
func WriteReport(w io.Writer, r Record, made time.Time, by, version string) error {
	style, err := files.ReadFile("assets/serin.css")
	if err != nil {
		return fmt.Errorf("read the style: %w", err)
	}
	var out bytes.Buffer
	data := reportData{Detail: newDetail(r, drawScopes(r), made), Style: template.CSS(style), Made: made, By: by, Version: version} //nolint:gosec // our own file
	if err := reportTemplates.ExecuteTemplate(&out, "report", data); err != nil {
		return fmt.Errorf("make the report: %w", err)
	}
	if _, err := w.Write(visible(out.Bytes())); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// report serves the report for download.
func (s *site) report(w http.ResponseWriter, r *http.Request, sess *session) error {
	rec, err := s.record(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if rec.Before, err = s.before(r.Context(), rec.View); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := WriteReport(&out, rec, time.Now(), sess.who.Name, s.o.Version); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="serin-`+rec.View.Release.ID+`.html"`)
	_, _ = out.WriteTo(w) // an error means that the browser has gone
	return nil
}
