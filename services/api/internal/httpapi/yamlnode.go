package httpapi

import (
	"iter"

	"go.yaml.in/yaml/v3"
)

// What follows reads a YAML document in its own order, which maps would lose. A
// nil node has nothing in it.

// pairs goes through a mapping.
func pairs(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// items lists a sequence.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// get finds a value of a mapping; nil when there is none.
func get(n *yaml.Node, key string) *yaml.Node {
	for name, value := range pairs(n) {
		if name == key {
			return value
		}
	}
	return nil
}

// text is a scalar of a mapping, as it is written.
func text(n *yaml.Node, key string) string {
	if found := get(n, key); found != nil && found.Kind == yaml.ScalarNode {
		return found.Value
	}
	return ""
}
