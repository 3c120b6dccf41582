// Package settings describes and prints a service's configuration: one flat
// struct whose fields carry the tags of caarlos0/env (`env`, `envDefault`) and
// two of its own:
//
//   - desc:"…" is the sentence shown in the table of settings; every field has one;
//   - secret:"true" replaces the value when it is printed, and secret:"url"
//     only what may hold a password in it: userinfo and query.
//
// The documentation, the deployment check and -print-config all read the same
// struct, so none of them can disagree with the code.
package settings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Redacted stands for a value that must not be shown.
const Redacted = "[redacted]"

// Setting is one environment variable that a service reads.
type Setting struct {
	Name        string `json:"name"`
	Default     string `json:"default"`
	Required    bool   `json:"required"`
	Secret      bool   `json:"secret"`
	Description string `json:"description"`
}

// Describe lists the settings of v, a configuration struct or a pointer to one,
// in the order of its fields. Fields without an `env` tag are no settings.
func Describe(v any) []Setting {
	var list []Setting
	walk(reflect.Indirect(reflect.ValueOf(v)), func(s Setting, _ reflect.StructField, _ reflect.Value) {
		list = append(list, s)
	})
	return list
}

// WriteJSON writes what [Describe] returns as an indented JSON array.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(Describe(v)); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// Print writes the effective value of every setting of v as NAME=value lines,
// with secrets redacted.
func Print(w io.Writer, v any) error {
	var out strings.Builder
	walk(reflect.Indirect(reflect.ValueOf(v)), func(s Setting, field reflect.StructField, value reflect.Value) {
		fmt.Fprintf(&out, "%s=%s\n", s.Name, redact(field.Tag.Get("secret"), format(value)))
	})
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}

func walk(v reflect.Value, visit func(Setting, reflect.StructField, reflect.Value)) {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			walk(v.Field(i), visit)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("env"), ",")
		if name == "" || !field.IsExported() {
			continue
		}
		visit(Setting{
			Name:        name,
			Default:     field.Tag.Get("envDefault"),
			Required:    hasOption(options, "required") || hasOption(options, "notEmpty"),
			Secret:      field.Tag.Get("secret") != "",
			Description: field.Tag.Get("desc"),
		}, field, v.Field(i))
	}
}

func hasOption(options, name string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == name {
			return true
		}
	}
	return false
}

// format writes a value the way it would be put into the environment.
func format(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		text, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = format(v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

func redact(tag, value string) string {
	switch {
	case tag == "" || value == "":
		return value
	case tag == "url":
		return redactURL(value)
	default:
		return Redacted
	}
}

// redactURL hides everything between the scheme and the last "@", and the
// query. It does not parse: a password with a slash or a question mark in it, or
// a list of several servers, must not slip through because a parser gave up.
func redactURL(value string) string {
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		scheme := ""
		if i := strings.Index(value, "://"); i >= 0 && i < at {
			scheme = value[:i+len("://")]
		}
		value = scheme + Redacted + value[at:]
	}
	if before, _, found := strings.Cut(value, "?"); found {
		value = before + "?" + Redacted
	}
	return value
}
