package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// What handlers leave for the line in the log.
const (
	keyCaller = "caller"
	keyError  = "error"
	// keyToken is the token that was good.
	keyToken = "token"
)

// identify gives the request an id of our own: one that the caller chose would
// be theirs to repeat.
func (s *server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := ulid.Make().String()
		if i := innerOf(c.Request()); i != nil {
			id = i.requestID
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// observe writes one line and counts one request, whatever became of it. The
// line has neither the query nor a token.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		method := methodOf(c.Request())
		if err := next(c); err != nil {
			c.Error(err)
		}
		took := time.Since(began)
		status := c.Response().Status
		if innerOf(c.Request()) != nil && status < http.StatusInternalServerError {
			return nil
		}
		route := c.Path()
		if !s.routes[route] {
			route = "none"
		}
		s.Metrics.observe(route, method, status, took)
		s.line(c, method, route, status, took)
		return nil
	}
}

func (s *server) line(c echo.Context, method, route string, status int, took time.Duration) {
	fields := []zap.Field{
		zap.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		zap.String("method", method),
		zap.String("route", route),
		zap.Int(observe.KeyStatusCode, status),
		zap.Duration(observe.KeyDurationMS, took),
	}
	for _, param := range []struct{ key, name string }{{observe.KeyProject, "pid"}, {observe.KeyWebhook, "id"}} {
		if value := c.Param(param.name); value != "" {
			fields = append(fields, zap.String(param.key, clip(value)))
		}
	}
	if caller, ok := c.Get(keyCaller).(string); ok {
		fields = append(fields, zap.String("caller", caller))
	}
	err, failed := c.Get(keyError).(error)
	switch {
	case failed && status >= http.StatusInternalServerError:
		s.Log.Error("request", append(fields, zap.Error(err))...)
	case route == pathHealth:
		s.Log.Debug("request", fields...)
	default:
		s.Log.Info("request", fields...)
	}
}

// clip keeps what strangers put into an address from filling the log.
func clip(value string) string {
	const longest = 64
	if len(value) > longest {
		return strings.ToValidUTF8(value[:longest], "") + "…"
	}
	return value
}

// recover turns a panic into an answer and a line with its stack.
func (s *server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if aborted, ok := cause.(error); ok && errors.Is(aborted, http.ErrAbortHandler) {
				panic(cause)
			}
			s.Log.Error("panic", zap.Any("panic", cause), zap.StackSkip("stack", 1))
			err = fmt.Errorf("panic: %v", cause)
		}()
		return next(c)
	}
}

// secured keeps answers out of caches, frames and guesses about their type.
func secured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set(echo.HeaderCacheControl, "no-store")
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")
		header.Set(echo.HeaderReferrerPolicy, "no-referrer")
		header.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		return next(c)
	}
}

// handler is a handler of somebody who was let in.
type handler func(c echo.Context, grant access.Grant) error

// guard lets in who may do what the route is for.
func (s *server) guard(action access.Action, next handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		grant, err := s.authorize(c, action)
		if err != nil {
			return err
		}
		return next(c, grant)
	}
}

// authorize asks about the caller. What it refuses has had no effect, so the
// dashboard may send it again.
func (s *server) authorize(c echo.Context, action access.Action) (access.Grant, error) {
	tokens, err := s.tokens(c.Request())
	if err != nil {
		return access.Grant{}, err
	}
	for _, token := range tokens {
		var grant access.Grant
		if grant, err = s.Access.Authorize(c.Request().Context(), token, c.Param("pid"), action); err == nil {
			c.Set(keyCaller, grant.Caller)
			c.Set(keyToken, token)
			if i := innerOf(c.Request()); i != nil {
				i.learn(grant.Caller, token)
			}
			return grant, nil
		}
		if !errors.Is(err, access.ErrSession) {
			break
		}
	}
	return access.Grant{}, fmt.Errorf("authorize: %w", err)
}
