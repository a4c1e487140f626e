"""Encoders of the BERT kind: both-sided attention, learned positions and segments, optional heads.

What stands on top of the layers follows the class that ``architectures`` names: a pooler for ``BertModel`` (and
when no class is named), the masked-token head for ``BertForMaskedLM``, both and the next-sentence classifier
for ``BertForPreTraining``. BERT-base so has 109,482,240, 109,514,298 and 110,106,428 parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.models.families.base import decoder, family

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture, Fields


def _encoder(fields: Fields, *, token_types: int, pooler: bool = True) -> Architecture:
    fields.require("context")
    classes = [str(name) for name in fields.sequence("architectures")]
    name = classes[0] if classes else ""
    pretraining = name.endswith("ForPreTraining")
    prediction_head = name.endswith(("ForMaskedLM", "LMHeadModel")) or pretraining
    return decoder(
        fields,
        causal=False,
        ffn_matrices=2,
        norm_weights=2,
        query_bias=True,
        kv_bias=True,
        output_bias=True,
        ffn_bias=True,
        positions=fields.size("context"),
        token_types=token_types,
        embedding_norm=True,
        final_norm=False,
        tied=fields.flag("tie_word_embeddings", default=True),
        head_bias=prediction_head,
        prediction_head=prediction_head,
        sentence_head=pretraining,
        pooler=pooler and (pretraining or not prediction_head),
    )


@family(
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    classes=("BertFor", "BertModel", "BertLM", "Roberta", "XLMRoberta", "Camembert"),
)
def bert(fields: Fields) -> Architecture:
    """BERT, RoBERTa, XLM-RoBERTa, CamemBERT: norms after each block and after the tables."""
    return _encoder(fields, token_types=fields.size("type_vocab_size", 2))


@family("distilbert", classes=("DistilBert",))
def distilbert(fields: Fields) -> Architecture:
    """DistilBERT: BERT without segments and pooler."""
    return _encoder(fields, token_types=0, pooler=False)
