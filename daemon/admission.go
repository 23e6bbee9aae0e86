package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/resource/kube"
	"github.com/serindev/serin/server"
)

// How long the API server may take to ask, and its connections may be idle.
const (
	admissionRead = 10 * time.Second
	admissionIdle = 2 * time.Minute
)

// admissionAddress is where the API server asks; empty where it does not.
func admissionAddress(spec *config.DaemonSpec) string {
	if spec.Kubernetes == nil || spec.Kubernetes.Resources == nil || spec.Kubernetes.Resources.Admission == nil {
		return ""
	}
	return string(spec.Kubernetes.Resources.Admission.Listen)
}

// openAdmission adds the validating webhook to the components; it does nothing if that is not configured.
func (a *acting) openAdmission(ctx context.Context, spec *config.DaemonSpec, watcher *config.Watcher, log *slog.Logger) error {
	address := admissionAddress(spec)
	if address == "" {
		return nil
	}
	listen := listenConfig(spec)
	listen.Address = address
	l, err := server.Listen(ctx, listen)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, l)
	a.components = append(a.components, func(ctx context.Context) error { return serveAdmission(ctx, l, watcher) })
	log.Info("the API server's validating webhook is answered", "address", l.Addr().String())
	return nil
}

func serveAdmission(ctx context.Context, l net.Listener, watcher *config.Watcher) error {
	s := &http.Server{
		Handler: kube.Admission(func(d kube.Document) (wrong, later []resource.Problem) {
			w, l := watcher.Try(object(d))
			return problemsOf(w), problemsOf(l)
		}),
		ReadHeaderTimeout: admissionRead, ReadTimeout: admissionRead, WriteTimeout: admissionRead, IdleTimeout: admissionIdle,
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func object(d kube.Document) config.Object {
	return config.Object{Kind: d.Kind, ObjectID: config.ObjectID{Namespace: d.Namespace, Name: d.Name}, Generation: d.Generation,
		Created: d.Created, Spec: d.Spec}
}

// problemsOf are errors as a status has them.
func problemsOf(errs config.Errors) (out []resource.Problem) {
	for _, e := range errs {
		out = append(out, resource.Problem{Path: fieldPath(e.Path), Message: e.Message})
	}
	return out
}
